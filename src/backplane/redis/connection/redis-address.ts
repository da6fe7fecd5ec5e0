import type { Cluster, Redis } from 'ioredis';

/** Returns the address of Redis for the log: hosts and ports, without users, passwords and queries. */
export function redisAddressOf(redis: string | Redis | Cluster): string {
  if (typeof redis === 'string') {
    const url = URL.canParse(redis) ? new URL(redis) : undefined;
    return url === undefined
      ? 'Redis'
      : `Redis at ${url.hostname || 'localhost'}:${url.port || 6379}`;
  }
  if (redis.isCluster) return 'the Redis Cluster';
  const { sentinels, name, path, host, port } = (redis as Redis).options;
  if (sentinels != null) return `Redis (${name ?? 'master'} of its sentinels)`;
  return `Redis at ${path ?? `${host ?? 'localhost'}:${port ?? 6379}`}`;
}
