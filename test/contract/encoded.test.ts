/**
 * Runs the whole contract suite with a codec: every text is encrypted on its way into the backplane, and decrypted on
 * its way out.
 */
import { randomBytes } from 'node:crypto';
import { aesGcmCodec } from '../../src/codec/aes-gcm.js';
import type { Backplane } from '../../src/backplane/backplane.js';
import { encodedBackplane } from '../../src/backplane/encoded/encoded-backplane.js';
import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { describeBackplane } from './suite/describe-backplane.js';
import type { Store } from './suite/rig.js';

const codec = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });

/** The origin of a message, which a codec puts in front of it before it encodes it. */
const ORIGIN = `~1 ${'n'.repeat(13)} 1 out g\n`;

function storeOf(backplane: () => Backplane): Promise<Store> {
  return Promise.resolve({
    backplane: () => encodedBackplane(backplane(), codec),
    sizeOf: (text) => codec.encode(ORIGIN + text, { sessionId: '', kind: 'message' }).length,
    close: () => Promise.resolve(),
  });
}

describeBackplane('memory, encrypted', () => {
  const shared = memoryBackplane();
  return storeOf(() => shared);
});

describeBackplane('Redis, encrypted', () => {
  const prefix = uniquePrefix();
  return storeOf(() => redisBackplane({ redis: redisUrl(), prefix }));
});

describeSdkStores('Redis, encrypted', () => {
  const prefix = uniquePrefix();
  return storeOf(() => redisBackplane({ redis: redisUrl(), prefix }));
});
