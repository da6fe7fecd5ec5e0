import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { MemoryBackplane } from '../../../src/backplane/memory/memory-backplane.js';
import { Snapshot } from '../../simulation/snapshot.js';
import { replicate } from '../../support/redis-snapshot.js';

/** Restores the session as it was when it was copied. */
export type GoBack = () => Promise<void>;
/** Copies a session, as a Redis replica that receives nothing more and later becomes the master. */
export type Replicate = (sessionId: string) => Promise<GoBack>;

export function replicasInMemory({ sessions }: MemoryBackplane): Replicate {
  return (sessionId) => {
    const session = sessions.get(sessionId);
    const snapshot = session && new Snapshot(session);
    return Promise.resolve(async () => {
      await nextTick();
      snapshot?.restore();
      if (session === undefined) sessions.delete(sessionId);
      else sessions.set(sessionId, session);
    });
  };
}

export function replicasInRedis(redis: Redis, prefix: string): Replicate {
  return async (sessionId) => {
    const goBack = await replicate(redis, `${prefix}:{${sessionId}}*`);
    return async () => {
      await nextTick();
      await goBack({ unnoticed: true });
    };
  };
}

/**
 * Waits for a millisecond, because a failover takes time. Within the same millisecond, a new entry could get the id of a
 * lost one.
 */
async function nextTick(): Promise<void> {
  for (const now = Date.now(); Date.now() <= now;) await sleep(1);
}
