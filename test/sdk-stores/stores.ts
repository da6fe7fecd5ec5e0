import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { encodedBackplane } from '../../src/backplane/encoded/encoded-backplane.js';
import type { Backplane } from '../../src/index.js';
import type { SdkStoresOptions } from '../../src/sdk-stores/index.js';
import { memoryBackplane, redisBackplane } from '../../src/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

/** Each gives the backplane objects of a store of its own, one for each process that there would be. */
export const BACKPLANES: [string, () => () => Backplane][] = [
  [
    'memory',
    () => {
      const shared = memoryBackplane();
      return () => shared;
    },
  ],
  [
    'Redis',
    () => {
      const prefix = uniquePrefix();
      return () => redisBackplane({ redis: redisUrl(), prefix });
    },
  ],
  [
    'Redis, encrypted',
    () => {
      const prefix = uniquePrefix();
      const codec = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });
      return () => encodedBackplane(redisBackplane({ redis: redisUrl(), prefix }), codec);
    },
  ],
];

/** The stores of one process, closed with the test. */
export function open(backplane: Backplane, more: Omit<SdkStoresOptions, 'backplane'> = {}) {
  const opened = sdkStores({ backplane, ...more });
  onTestFinished(() => opened.close());
  return opened;
}
