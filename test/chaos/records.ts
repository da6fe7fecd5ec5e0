import type { Redis } from 'ioredis';

/** How often each call has begun to run: a hash, by the call's key. */
export const executedKey = (prefix: string): string => `${prefix}-executed`;
/** Which server object ran it last: a hash, by the call's key. */
export const replicaKey = (prefix: string): string => `${prefix}-replica`;
/** What calls have said on the session's own stream, and were told that it is stored: a set of `<key> <n>`. */
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
