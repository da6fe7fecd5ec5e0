/**
 * Tests a principal with very many sessions. When there seem to be too many, the sessions that were never used are counted.
 */
import { createHash } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { ALICE, newSession, TestNode } from './suite/rig.js';

const MANY = 10_000;

// Bug: each creation looked at all sessions of the principal. Sixteen creations at a time took longer than a command may,
// and were answered with 503.
it('the creation of a session looks at only some of ten thousand others, and finds room', async () => {
  const prefix = uniquePrefix();
  // A Redis of its own, since its commands are counted.
  const server = await startRedis();
  onTestFinished(server.stop);
  const redis = connectRedis(server.url);
  const node = new TestNode(redisBackplane({ redis: server.url, prefix }));
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();

  // Some of these sessions have been used or have ended, but the index does not say so yet.
  const hash = createHash('sha256').update(ALICE).digest('base64url');
  const index = `${prefix}:principal:{${hash}}`;
  const ids = Array.from({ length: MANY }, (_, at) => [Date.now(), `gone-${at}`]).flat();
  for (let at = 0; at < ids.length; at += 2_000)
    await redis.zadd(index, ...ids.slice(at, at + 2_000));

  const most = { sessions: 2 * MANY, pending: MANY };
  const before = await commandCounts(redis);
  const created = await Promise.all(
    Array.from({ length: 16 }, () => node.backplane.create(newSession({ principal: ALICE, most }))),
  );
  const { hmget = 0 } = commandsBetween(before, await commandCounts(redis));
  expect(created.every((positions) => positions !== false)).toBe(true);
  expect(hmget).toBeLessThan(16 * 250);
});
