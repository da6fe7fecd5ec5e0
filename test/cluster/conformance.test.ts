import { beforeAll, describe, expect, it } from 'vitest';
import { startNginx } from '../rig/nginx.js';
import { startNode } from '../rig/processes.js';
import { startRedis } from '../rig/redis.js';
import { complaints, installSuite, runSuite, successes } from '../conformance/suite.js';
import { useServices } from './support/services.js';

const script = new URL('../../demo/node.ts', import.meta.url);

/** What the plain SDK transport gives on one node, which is all there is to reach. */
const revisions = [
  { specVersion: '2025-06-18', scenarios: 27, checks: 56 },
  { specVersion: '2025-11-25', scenarios: 33, checks: 84 },
];

const started = useServices();
const urls = { bare: '', one: '', two: '', made: '', listener: '', handler: '', upstream: '' };

beforeAll(async () => {
  await installSuite();
  const redis = await started(startRedis());
  const bare = await started(startNode({ script, env: { BARE: '1' } }));
  const env = { REDIS_URL: redis.url };
  const first = await started(startNode({ script, env }));
  const second = await started(startNode({ script, env }));
  const nginx = await started(startNginx({ upstreams: [first.port, second.port] }));
  urls.made = await twoNodes({ ...env, MOUNT: 'made' });
  urls.listener = await twoNodes({ ...env, MOUNT: 'listener' });
  urls.handler = await twoNodes({ ...env, MOUNT: 'handler' });
  urls.upstream = await twoNodes({ ...env, UPSTREAM: `${bare.url}/mcp` });
  urls.bare = `${bare.url}/mcp`;
  urls.one = `${first.url}/mcp`;
  urls.two = `${nginx.url}/mcp`;
}, 300_000);

async function twoNodes(env: Record<string, string>): Promise<string> {
  const [first, second] = [
    await started(startNode({ script, env })),
    await started(startNode({ script, env })),
  ];
  const nginx = await started(startNginx({ upstreams: [first.port, second.port] }));
  return `${nginx.url}/mcp`;
}

describe.each(revisions)(
  'the official conformance suite, every scenario of $specVersion',
  ({ specVersion, scenarios, checks }) => {
    it.each([
      ['the plain SDK transport, for reference', 'bare'],
      ['one node', 'one'],
      ['two nodes behind round robin', 'two'],
      ['two nodes behind round robin, their servers making the requests of Express', 'made'],
      ['two nodes behind round robin, without Express', 'listener'],
      ['two nodes behind round robin, with the plain transport as their handler', 'handler'],
      ['two nodes behind round robin, with the plain transport at a URL', 'upstream'],
    ] as const)(
      '%s',
      async (_name, where) => {
        const result = await runSuite(urls[where], specVersion);
        expect(complaints(result)).toEqual([]);

        const made = successes(result);
        expect(Object.keys(made)).toHaveLength(scenarios);
        expect(Object.values(made).flat()).toHaveLength(checks);
        // A scenario whose only check is that the messages were well formed has seen nothing of its own subject.
        const vacuous = Object.entries(made).filter(([, ids]) =>
          ids.every((id) => id === 'wire-schema-valid'),
        );
        expect(vacuous).toEqual([]);
      },
      60_000,
    );
  },
);
