import { afterAll, beforeAll, expect, it } from 'vitest';
import { startNginx } from '../rig/nginx.js';
import { startNode } from '../rig/processes.js';
import { runStory } from '../../demo/story.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

/** `STORY_RUNS=100` plays it as often as a release wants to see it. */
const RUNS = Number(process.env.STORY_RUNS ?? 10);

const open: { stop: () => Promise<unknown> }[] = [];
const urls = { balancer: '', nodes: [] as string[] };

beforeAll(async () => {
  const env = { REDIS_URL: redisUrl(), PREFIX: uniquePrefix() };
  const script = new URL('../../demo/node.ts', import.meta.url);
  const nodes = await Promise.all([startNode({ script, env }), startNode({ script, env })]);
  open.push(...nodes);
  const nginx = await startNginx({ upstreams: nodes.map(({ port }) => port) });
  open.push(nginx);
  urls.balancer = `${nginx.url}/mcp`;
  urls.nodes = nodes.map(({ url }) => `${url}/mcp`);
}, 60_000);

afterAll(async () => {
  for (const service of open.reverse()) await service.stop();
});

it(
  `the official client's whole story holds ${RUNS} times in a row on two nodes behind round robin`,
  async () => {
    for (let run = 1; run <= RUNS; run += 1) {
      const { ok, steps } = await runStory({ url: urls.balancer, nodeUrls: urls.nodes });
      const broken = steps
        .filter((step) => !step.ok)
        .map(({ name, detail }) => `${name}: ${detail}`);
      expect(broken, `run ${run}`).toEqual([]);
      expect(ok).toBe(true);
    }
  },
  RUNS * 15_000,
);
