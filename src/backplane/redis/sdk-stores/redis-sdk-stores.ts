import type { JoinOptions } from '../../backplane.js';
import { RedisBroadcasts } from './redis-broadcasts.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { TurnsPerServer } from '../connection/fair-turns.js';
import type { RedisKeys } from '../redis-keys.js';
import { RedisEventStore } from './redis-event-store.js';
import type { Subscriber } from '../connection/subscriber.js';
import { RedisTasks } from './redis-tasks.js';

export interface RedisSdkStoresOptions extends JoinOptions {
  prefix: string;
  redisKeys: RedisKeys;
  connection: CommandConnection;
  subscriber: Subscriber;
  turns: TurnsPerServer;
}

export function redisSdkStores(options: RedisSdkStoresOptions) {
  const { redisKeys, retention } = options;
  const keptMs = retention.maxAgeMs;
  return {
    broadcasts: new RedisBroadcasts({
      ...{ ...options, key: redisKeys.broadcasts, channel: redisKeys.broadcastChannel, keptMs },
    }),
    replays: new RedisEventStore(options),
    tasks: new RedisTasks({ ...options, keptMs }),
  };
}
