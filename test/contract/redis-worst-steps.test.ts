/** How long one step may keep Redis busy, whatever a client has done before. Redis runs no other command meanwhile. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { measure, SCENARIOS } from '../../bench/worst-steps.js';
import { World } from '../../bench/worst-steps/world.js';
import { startRedis, type RedisServer } from '../rig/redis.js';

/**
 * The bound allows for a busy machine. The longest step was measured with 6 ms on one. Before there was a bound,
 * resuming one stream took 270 ms, and twenty such GETs gave other clients 503.
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

it.each(bounded)('$script takes a short time: $situation', async ({ situation, prepare }) => {
  await redis.flushall();
  const world = new World(redis, server.url, situation.replaceAll(/\W/g, ''));
  onTestFinished(() => world.close());
  await Promise.all([world.a.backplane.ready(), world.b.backplane.ready()]);
  const { longestUs } = await measure(redis, await prepare(world));
  expect(longestUs).toBeLessThan(MOST_US);
});
