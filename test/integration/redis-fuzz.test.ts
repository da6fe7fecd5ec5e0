import { expect, it } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { startFuzz } from '../fuzz/redis.js';

// A short run of `npm run fuzz -- --of redis` from fixed seeds.
it.each([
  ['in clear', false],
  ['with a codec', true],
])(
  'a node survives malformed data and messages of a session in Redis (%s)',
  async (_, isEncrypted) => {
    const server = await startRedis();
    const fuzz = await startFuzz(server.url, isEncrypted);
    try {
      for (let seed = 1; seed <= 12; seed += 1) {
        await expect(fuzz.once(seed), `seed ${seed}`).resolves.toBeUndefined();
      }
    } finally {
      await fuzz.close();
      await server.stop();
    }
  },
);
