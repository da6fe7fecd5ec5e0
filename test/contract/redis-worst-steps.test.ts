/** What one step may cost Redis, whatever a client has done before: while it runs, nobody else is served. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { measure, SCENARIOS } from '../../bench/worst-steps.js';
import { World } from '../../bench/worst-steps/world.js';
import { startRedis, type RedisServer } from '../rig/redis.js';

/**
 * For a machine that has other things to do; the longest was measured with 6 ms on a busy one. Before there was a bound,
 * resuming one stream cost 270 ms, and twenty such GETs gave others 503.
 */
const MOST_US = 20_000;

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const bounded = SCENARIOS.filter(({ carriesLarge }) => carriesLarge !== true);

it.each(bounded)('$script is done in a short time: $situation', async ({ situation, prepare }) => {
  await redis.flushall();
  const world = new World(redis, server.url, situation.replaceAll(/\W/g, ''));
  onTestFinished(() => world.close());
  await Promise.all([world.a.membership.ready(), world.b.membership.ready()]);
  const { longestUs } = await measure(redis, await prepare(world));
  expect(longestUs).toBeLessThan(MOST_US);
});
