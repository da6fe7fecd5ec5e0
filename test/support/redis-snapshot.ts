import type { Redis } from 'ioredis';

/**
 * What a replica of Redis has got so far of the keys that match. The returned function makes that replica the master: what was
 * written since is lost, and subscribers have to connect again, unless no node is to notice yet.
 */
export async function replicate(
  redis: Redis,
  pattern: string,
): Promise<(how?: { unnoticed: boolean }) => Promise<void>> {
  const has = new Map<string, { dump: Buffer; ttl: number }>();
  for (const key of await redis.keys(pattern)) {
    const [dump, ttl] = await Promise.all([redis.dumpBuffer(key), redis.pttl(key)]);
    if (ttl !== -2) has.set(key, { dump, ttl: Math.max(ttl, 0) });
  }
  return async ({ unnoticed } = { unnoticed: false }) => {
    for (const key of await redis.keys(pattern)) if (!has.has(key)) await redis.del(key);
    for (const [key, { dump, ttl }] of has) await redis.restore(key, ttl, dump, 'REPLACE');
    if (!unnoticed) await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  };
}
