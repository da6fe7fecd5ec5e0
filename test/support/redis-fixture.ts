import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import type {} from './global-setup.js';

/** The URL of the Redis that the whole test run shares. */
export function redisUrl(): string {
  return inject('redisUrl');
}

/** A key prefix that no other test has, as all share one Redis. */
export function uniquePrefix(): string {
  return `test-${randomBytes(6).toString('hex')}`;
}

/** A client of the shared Redis, or of `url`, disconnected when the test that asked for it is over. */
export function connectRedis(url = redisUrl()): Redis {
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  return client;
}
