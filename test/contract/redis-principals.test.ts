/** Many sessions of one caller, which are looked at when there seem to be too many that were never used. */
import { createHash } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { ALICE, newSession, TestNode } from './suite/rig.js';

const MANY = 10_000;

// It looked at each of them, for each session that was to be created: sixteen at a time took longer than a command may,
// and were answered with 503.
it('a new session beside ten thousand looks at some of them, and finds the room that there is', async () => {
  const prefix = uniquePrefix();
  // One of its own: what other tests have Redis do is counted as well.
  const server = await startRedis();
  onTestFinished(server.stop);
  const redis = connectRedis(server.url);
  const node = new TestNode(redisBackplane({ redis: server.url, prefix }));
  onTestFinished(() => node.membership.leave());
  await node.membership.ready();

  // They have been used, or are gone, and nobody has looked yet.
  const hash = createHash('sha256').update(ALICE).digest('base64url');
  const index = `${prefix}:principal:{${hash}}`;
  const ids = Array.from({ length: MANY }, (_, at) => [Date.now(), `gone-${at}`]).flat();
  for (let at = 0; at < ids.length; at += 2_000)
    await redis.zadd(index, ...ids.slice(at, at + 2_000));

  const most = { sessions: 2 * MANY, pending: MANY };
  const before = await commandCounts(redis);
  const created = await Promise.all(
    Array.from({ length: 16 }, () =>
      node.membership.create(newSession({ principal: ALICE, most })),
    ),
  );
  const { hmget = 0 } = commandsBetween(before, await commandCounts(redis));
  expect(created.every((positions) => positions !== false)).toBe(true);
  expect(hmget).toBeLessThan(16 * 250);
});
