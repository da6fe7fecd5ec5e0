import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { encodedBackplane } from '../../src/backplane/encoded/encoded-backplane.js';
import type { Backplane } from '../../src/index.js';
import type { SdkStoresOptions } from '../../src/sdk-stores/index.js';
import { redisBackplane } from '../../src/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { STORES, type OpenStore } from '../integration/support/serve.js';
import { hasRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const encrypted: OpenStore = () => {
  const prefix = uniquePrefix();
  const codec = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });
  return () => encodedBackplane(redisBackplane({ redis: redisUrl(), prefix }), codec);
};

/** The stores of other tests, and an encrypted one in a run with Redis. */
export const BACKPLANES: [string, OpenStore][] = hasRedis()
  ? [...STORES, ['Redis, encrypted', encrypted]]
  : STORES;

/** Opens the stores of one process, and closes them when the test is over. */
export function open(backplane: Backplane, more: Omit<SdkStoresOptions, 'backplane'> = {}) {
  const opened = sdkStores({ backplane, ...more });
  onTestFinished(() => opened.close());
  return opened;
}
