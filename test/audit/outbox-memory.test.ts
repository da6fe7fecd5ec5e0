/** How much of Redis the outbox takes while the sink is away. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { startRedis } from '../rig/redis.js';
import { request } from '../support/mcp-http.js';

const BOUND = 4 * 1024 * 1024;

it('takes no more than twice the bound of Redis while the sink is away, and is emptied when it is back', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const redis = new Redis(server.url);
  onTestFinished(() => redis.disconnect());
  let isAway = true;
  const sink = () => {
    if (isAway) throw new Error('The sink is away');
  };
  const node = await startNode({
    backplane: redisBackplane({ redis: server.url }),
    audit: { sink, maxTotalBytes: BOUND },
    // Without these the log of the session would take as much.
    retention: { maxEvents: 10 },
  });
  const memory = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  const { client } = await openSession(node.url);
  const before = await memory();
  const text = 'x'.repeat(2_000);
  let calls = 0;
  let status: number;
  do {
    calls += 1;
    const params = { name: 'echo', arguments: { text } };
    const response = await client.post(node.url, request(calls, 'tools/call', params));
    status = response.status;
    response.stream?.close();
  } while (status === 200 && calls < 5_000);
  expect(status).toBe(503);
  expect(calls).toBeGreaterThan(500);
  expect((await memory()) - before).toBeLessThan(2 * BOUND);
  expect(await redis.xlen('mcp:audit:{all}')).toBeGreaterThan(1_000);
  isAway = false;
  await expect.poll(() => redis.xlen('mcp:audit:{all}'), { timeout: 20_000 }).toBe(0);
  expect((await memory()) - before).toBeLessThan(BOUND / 2);
  expect((await client.post(node.url, request(9_999, 'ping'))).status).toBe(200);
}, 60_000);
