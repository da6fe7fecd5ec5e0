import { expect, it, onTestFinished } from 'vitest';
import { ClientFuzz } from '../fuzz/client.js';

// A short run of `npm run fuzz` from fixed seeds.
it('a node refuses malformed headers and bodies in bounded time, and its sessions go on', async () => {
  const fuzz = await ClientFuzz.start();
  onTestFinished(() => fuzz.stop());
  for (let seed = 1; seed <= 400; seed += 8) {
    const seeds = Array.from({ length: 8 }, (_, at) => seed + at);
    await Promise.all(
      seeds.map((each) => expect(fuzz.once(each), `seed ${each}`).resolves.toBeUndefined()),
    );
  }
  await fuzz.check();
});
