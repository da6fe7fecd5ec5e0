/** A user without the right to subscribe, and a proxy without pub/sub: the node says what is missing, and serves once it is there. */
import { expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { TestNode } from './suite/rig.js';

const own = useFileRedis();

it('a node whose Redis refuses SUBSCRIBE says so, and is ready once it may', async () => {
  const prefix = uniquePrefix();
  const all = ['on', '>password', '~*', '&*', '+@all'];
  await own.admin.acl('SETUSER', prefix, ...all, '-subscribe');
  const url = `redis://${prefix}:password@127.0.0.1:${own.server.port}`;
  const node = new TestNode(redisBackplane({ redis: url, prefix }));
  onTestFinished(() => node.backplane.leave());
  await expect.poll(() => node.backplane.trouble()).toContain("'subscribe' command");
  const [warning, ...others] = node.warnings;
  expect(warning).toContain('Redis refuses SUBSCRIBE: NOPERM');
  expect(warning).toContain('pub/sub');
  // Once in a while is enough.
  expect(others).toEqual([]);
  await own.admin.acl('SETUSER', prefix, '+subscribe');
  await node.backplane.ready();
  await expect.poll(() => node.backplane.trouble()).toBeUndefined();
});
