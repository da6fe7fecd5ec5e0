import type { JoinOptions } from '../backplane.js';
import type { SeamStore } from '../seams.js';
import { RedisBroadcasts } from './broadcasts.js';
import type { CommandConnection } from './connection.js';
import type { Subscriber } from './subscriber.js';

export interface RedisSeamsOptions extends JoinOptions {
  prefix: string;
  connection: CommandConnection;
  subscriber: Subscriber;
}

export function redisSeams(options: RedisSeamsOptions): SeamStore {
  const { prefix, retention } = options;
  return {
    broadcasts: new RedisBroadcasts({
      ...options,
      name: `${prefix}:broadcasts`,
      keptMs: retention.maxAgeMs,
    }),
  };
}
