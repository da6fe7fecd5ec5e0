import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { encodedBackplane } from '../../src/backplane/encoded/encoded-backplane.js';
import type { Backplane, SeamsOptions } from '../../src/index.js';
import { aesGcmCodec, memoryBackplane, redisBackplane, seams } from '../../src/index.js';
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

/** The seams of one process, closed with the test. */
export function open(backplane: Backplane, more: Omit<SeamsOptions, 'backplane'> = {}) {
  const opened = seams({ backplane, ...more });
  onTestFinished(() => opened.close());
  return opened;
}
