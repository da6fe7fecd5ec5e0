import { Redis } from 'ioredis';
import type { Cluster } from 'ioredis';
import { refusal } from './retryable-replies.js';

/**
 * The pause stays short after a long outage too. Other nodes may be back sooner, and call a node dead whose lease is missing
 * for 0.9 s.
 */
const retryStrategy = (times: number): number => Math.min(50 * times, 500);

/**
 * The client must not queue commands, or repeat them by itself. `CommandConnection.run` repeats a call after its
 * connection was cut, because it knows the deadline. Every script bears a repeat.
 */
const OPTIONS = {
  lazyConnect: false,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy,
  /** For when no sentinel answers. The caller's client may give up then, but this client must not end. */
  sentinelRetryStrategy: retryStrategy,
  /** The caller's client may have other settings, but this library parses the replies. */
  stringNumbers: false,
  replyMapping: 'legacy',
  /** Commands are sent in the order of their calls. */
  enableAutoPipelining: false,
  /** After a failover this connection may lead to a replica, so look up the master again. */
  reconnectOnError: (error: Error) => refusal(error.message) === 'READONLY',
} as const;

/** Returns the key prefix of the caller's client. This library's prefix follows it, in channels too. */
export function keyPrefixOf(client: Redis | Cluster): string {
  return client.options.keyPrefix ?? '';
}

/** Makes a client of this library's own, with the settings of the caller's and those that this library needs. */
export function ownClient(source: string | Redis | Cluster, timeoutMs: number): Redis | Cluster {
  // Each call ends a silent connection when its time is up. This timeout is for a single silent master among several. It has
  // to be longer, because ioredis does not read waiting replies before it ends a connection. A process that stalled for that
  // long would lose all replies.
  const socketTimeout = 2 * timeoutMs;
  const own = { ...OPTIONS, keyPrefix: '', socketTimeout };
  if (typeof source === 'string') return new Redis(source, own);
  if (source.isCluster) {
    const cluster = source as Cluster;
    const options = {
      ...cluster.options,
      lazyConnect: false,
      enableOfflineQueue: false,
      enableAutoPipelining: false,
      keyPrefix: '',
      // A replica may not have the latest steps yet.
      scaleReads: 'master',
      clusterRetryStrategy: retryStrategy,
      redisOptions: {
        ...cluster.options.redisOptions,
        keyPrefix: '',
        stringNumbers: false,
        replyMapping: 'legacy',
        socketTimeout,
      },
    };
    return cluster.duplicate([], options as Parameters<Cluster['duplicate']>[1]);
  }
  return (source as Redis).duplicate(own);
}
