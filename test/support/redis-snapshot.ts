import type { Redis } from 'ioredis';

/**
 * Remembers what a replica of Redis would have received so far of the keys that match. The returned function acts as if
 * that replica became the master: later writes are lost, and subscribers have to connect again. With `unnoticed`, they stay
 * connected.
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
