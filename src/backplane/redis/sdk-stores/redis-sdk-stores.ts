import type { JoinOptions } from '../../backplane.js';
import { RedisBroadcasts } from './redis-broadcasts.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { FairTurns } from '../connection/fair-turns.js';
import type { Names } from '../redis-keys.js';
import { RedisReplays } from './redis-event-store.js';
import type { Subscriber } from '../connection/subscriber.js';
import { RedisTasks } from './redis-tasks.js';

export interface RedisSeamsOptions extends JoinOptions {
  prefix: string;
  names: Names;
  connection: CommandConnection;
  subscriber: Subscriber;
  turns: FairTurns;
}

export function redisSeams(options: RedisSeamsOptions) {
  const { names, retention } = options;
  const keptMs = retention.maxAgeMs;
  return {
    broadcasts: new RedisBroadcasts({
      ...{ ...options, key: names.broadcasts, channel: names.broadcastChannel, keptMs },
    }),
    replays: new RedisReplays(options),
    tasks: new RedisTasks({ ...options, channels: names.channel(''), keptMs }),
  };
}
