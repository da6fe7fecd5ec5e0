import type { JoinOptions } from '../backplane.js';
import { RedisBroadcasts } from './broadcasts.js';
import type { CommandConnection } from './connection.js';
import type { FairTurns } from './fair-turns.js';
import { RedisReplays } from './replays.js';
import type { Subscriber } from './subscriber.js';
import { RedisTasks } from './tasks.js';

export interface RedisSeamsOptions extends JoinOptions {
  prefix: string;
  connection: CommandConnection;
  subscriber: Subscriber;
  turns: FairTurns;
}

export function redisSeams(options: RedisSeamsOptions) {
  const { prefix, retention } = options;
  const keptMs = retention.maxAgeMs;
  return {
    broadcasts: new RedisBroadcasts({ ...options, name: `${prefix}:broadcasts`, keptMs }),
    replays: new RedisReplays(options),
    tasks: new RedisTasks({ ...options, keptMs }),
  };
}
