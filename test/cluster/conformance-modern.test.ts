/** The official conformance suite against both eras on one mount. */
import { beforeAll, describe, expect, it } from 'vitest';
import { startNginx } from '../rig/nginx.js';
import { startNode } from '../rig/processes.js';
import { startRedis } from '../rig/redis.js';
import type { SuiteResult } from '../conformance/suite.js';
import { complaints, installSuite, runSuite, successes } from '../conformance/suite.js';
import { useServices } from './support/services.js';

const script = new URL('../conformance/modern-node.ts', import.meta.url);
const MODERN = '2026-07-28';
const KEY = 'the same on each node, as the SDK asks for';

const started = useServices();
const urls = { bare: '', one: '', two: '', handler: '', twoKeys: '', twoBare: '' };

const node = (env: Record<string, string>) => started(startNode({ script, env: { KEY, ...env } }));

async function balanced(...nodes: { port: number }[]): Promise<string> {
  const nginx = await started(startNginx({ upstreams: nodes.map(({ port }) => port) }));
  return `${nginx.url}/mcp`;
}

beforeAll(async () => {
  await installSuite();
  const redis = await started(startRedis());
  const env = { REDIS_URL: redis.url };
  const [first, second] = [await node(env), await node(env)];
  const behind = { ...env, MOUNT: 'handler' };
  urls.bare = `${(await node({})).url}/mcp`;
  urls.one = `${first.url}/mcp`;
  urls.two = await balanced(first, second);
  urls.handler = await balanced(await node(behind), await node(behind));
  urls.twoBare = await balanced(await node({}), await node({}));
  urls.twoKeys = await balanced(first, await node({ ...env, KEY: `another ${KEY}` }));
}, 300_000);

/** What the suite finds at the SDK's own handler. Each of the others is compared with it. */
let reference: Promise<SuiteResult> | undefined;

const runAt = (where: keyof typeof urls, specVersion: string): Promise<SuiteResult> =>
  where === 'bare' && specVersion === MODERN
    ? (reference ??= runSuite(urls.bare, MODERN))
    : runSuite(urls[where], specVersion);

/** What the SDK gives on one node, which is all there is to reach: see `conformance` for the older revisions. */
const revisions = {
  [MODERN]: { scenarios: 40, checks: 152 },
  '2025-11-25': { scenarios: 33, checks: 84 },
  '2025-06-18': { scenarios: 27, checks: 56 },
};

describe.each([
  ["the SDK's own handler, for reference", 'bare', [MODERN]],
  ['one node', 'one', [MODERN, '2025-11-25', '2025-06-18']],
  ['two nodes behind round robin', 'two', [MODERN, '2025-11-25', '2025-06-18']],
  [
    'two nodes behind round robin, with the plain transport as their handler',
    'handler',
    [MODERN, '2025-11-25', '2025-06-18'],
  ],
] as const)('every scenario of the official suite: %s', (_name, where, specVersions) => {
  it.each(specVersions)(
    '%s',
    async (specVersion) => {
      const result = await runAt(where, specVersion);
      expect(complaints(result)).toEqual([]);

      const made = successes(result);
      const { scenarios, checks } = revisions[specVersion];
      expect(Object.keys(made)).toHaveLength(scenarios);
      expect(Object.values(made).flat()).toHaveLength(checks);
      const vacuous = Object.entries(made).filter(([, ids]) =>
        ids.every((id) => id === 'wire-schema-valid'),
      );
      expect(vacuous).toEqual([]);
      if (specVersion !== MODERN || where === 'bare') return;
      expect(made).toEqual(successes(await runAt('bare', MODERN)));
    },
    60_000,
  );
});

/** The scenarios that something is wrong with: that the suite sees what nodes have in common. */
async function failedAt(url: string): Promise<string[]> {
  const lines = complaints(await runSuite(url, MODERN));
  return [...new Set(lines.map((line) => line.split(':')[0] ?? ''))].sort();
}

it('two scenarios of subscriptions fail on nodes that do not share a bus', async () => {
  expect(await failedAt(urls.twoBare)).toEqual(['server-stateless']);
}, 60_000);

it('nodes with keys of their own refuse what the other one has sealed', async () => {
  expect(await failedAt(urls.twoKeys)).toEqual([
    'input-required-result-multi-round',
    'input-required-result-multiple-input-requests',
    'input-required-result-request-state',
  ]);
}, 60_000);
