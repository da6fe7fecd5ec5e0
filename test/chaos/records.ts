import type { Redis } from 'ioredis';

/** How often each call has begun to run: a hash, by the call's key. */
export const executedKey = (prefix: string): string => `${prefix}-executed`;
/** What calls have said on the session's own stream, and were told that it is stored: a set of `<key> <n>`. */
export const acceptedKey = (prefix: string): string => `${prefix}-accepted`;

export interface Recorded {
  executed: Map<string, number>;
  accepted: Set<string>;
}

export async function readRecords(redis: Redis, prefix: string): Promise<Recorded> {
  const executed = await redis.hgetall(executedKey(prefix));
  const accepted = await redis.smembers(acceptedKey(prefix));
  return {
    executed: new Map(Object.entries(executed).map(([key, times]) => [key, Number(times)])),
    accepted: new Set(accepted),
  };
}
