import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import type {} from './global-setup.js';

/** Returns the URL of the Redis that only the tests of this file use while they run. */
export function redisUrl(): string {
  const worker = Number(process.env.VITEST_POOL_ID);
  const url = inject('redisUrls')[worker - 1];
  if (url === undefined) throw new Error(`There is no Redis for worker ${worker}`);
  return url;
}

/** Whether this run has started Redis. `npm run test:unit` does not start it. */
export function hasRedis(): boolean {
  return (inject('redisUrls') as string[] | undefined) !== undefined;
}

/** Returns a key prefix that no other test uses. */
export function uniquePrefix(): string {
  return `test-${randomBytes(6).toString('hex')}`;
}

/** Returns a client of that Redis, or of `url`. It is disconnected when the test is over. */
export function connectRedis(url = redisUrl()): Redis {
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  return client;
}
