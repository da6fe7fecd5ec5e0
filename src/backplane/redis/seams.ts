import type { JoinOptions } from '../backplane.js';
import { RedisBroadcasts } from './broadcasts.js';
import type { CommandConnection } from './connection.js';
import type { FairTurns } from './fair-turns.js';
import type { Names } from './names.js';
import { RedisReplays } from './replays.js';
import type { Subscriber } from './subscriber.js';
import { RedisTasks } from './tasks.js';

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
