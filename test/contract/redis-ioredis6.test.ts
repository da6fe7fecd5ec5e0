import type * as Ioredis6 from 'ioredis';
import { Redis as Redis5 } from 'ioredis';
import { expect, it, onTestFinished, vi } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { append, open, TestNode } from './suite/rig.js';

// With several versions installed, this package may have the older one, and the application the newer one.
vi.mock('ioredis', () => import('ioredis5'));

// Bug: a command of ioredis 5 lacks what a client of ioredis 6 expects of each command, and every script failed.
it('ioredis 5 runs the scripts over a client of ioredis 6', async () => {
  const { Redis } = await vi.importActual<typeof Ioredis6>('ioredis');
  expect(Redis).not.toBe(Redis5);
  const server = await startRedis();
  onTestFinished(server.stop);
  const client = new Redis(server.url);
  onTestFinished(() => client.disconnect());
  const node = new TestNode(redisBackplane({ redis: client }));
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();

  const id = await node.create();
  await node.run(id, open('p', ['1']));
  await node.run(id, append('p', 'known'));
  await client.script('FLUSH');
  const [result] = await node.run(id, append('p', 'forgotten'));
  expect(result).toMatchObject({ status: 'appended', position: { n: 2 } });
});
