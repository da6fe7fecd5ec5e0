import { Cluster, Redis } from 'ioredis';
import { MASTER_NAME } from '../support/redis-sentinels.js';

/** How nodes find Redis. It is passed as JSON. */
export type Store = { url: string } | { sentinels: number[] } | { cluster: string };

/** Returns the option `redis` for a store. */
export function redisOf(store: Store): string | Redis | Cluster {
  if ('url' in store) return store.url;
  if ('cluster' in store) return new Cluster([store.cluster], { lazyConnect: true });
  const sentinels = store.sentinels.map((port) => ({ host: '127.0.0.1', port }));
  return new Redis({ name: MASTER_NAME, sentinels, lazyConnect: true });
}
