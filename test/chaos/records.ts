import type { Redis } from 'ioredis';

/** The hash with how often each call has begun to run, by the call's key. */
export const executedKey = (prefix: string): string => `${prefix}-executed`;
/** The hash with the server object that last ran each call, by the call's key. */
export const replicaKey = (prefix: string): string => `${prefix}-replica`;
/** The set with the notifications of calls on the session's GET stream that were accepted, as `<key> <n>`. */
export const acceptedKey = (prefix: string): string => `${prefix}-accepted`;

export interface Recorded {
  executed: Map<string, number>;
  replica: Map<string, string>;
  accepted: Set<string>;
}

export async function readRecords(redis: Redis, prefix: string): Promise<Recorded> {
  const executed = await redis.hgetall(executedKey(prefix));
  const replica = await redis.hgetall(replicaKey(prefix));
  const accepted = await redis.smembers(acceptedKey(prefix));
  return {
    executed: new Map(Object.entries(executed).map(([key, times]) => [key, Number(times)])),
    replica: new Map(Object.entries(replica)),
    accepted: new Set(accepted),
  };
}
