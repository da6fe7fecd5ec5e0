import { expect, it } from 'vitest';
import { LoopTurns } from '../../src/replica/requests/loop-turns.js';

const LARGE = 300_000;

/** Writes an answer of each length when its turn has come. Resolves with the turn of the event loop of each answer. */
async function write(turns: LoopTurns, lengths: number[]): Promise<number[]> {
  let turn = 0;
  let open = lengths.length;
  const next = (): void => {
    turn += 1;
    if (open > 0) setImmediate(next);
  };
  setImmediate(next);
  return Promise.all(
    lengths.map(async (length) => {
      const mine = turns.next();
      if (mine !== undefined) await mine;
      turns.write(() => ({ message: 'x'.repeat(length) }));
      open -= 1;
      return turn;
    }),
  );
}

it('gives each large answer its own turn of the event loop', async () => {
  const written = await write(new LoopTurns(), [LARGE, LARGE, LARGE]);
  expect(new Set(written).size).toBe(3);
});

// Small answers that waited each got their own turn, too. A busy node has more than one answer per turn, so it never caught
// up: after the first large answer, all answers of all sessions were written one per turn.
it('writes small answers that waited behind a large one in one turn', async () => {
  const written = await write(new LoopTurns(), [LARGE, ...Array.from({ length: 100 }, () => 10)]);
  expect(new Set(written).size).toBeLessThanOrEqual(2);
});

it('keeps the order of the answers', async () => {
  const turns = new LoopTurns();
  const order: number[] = [];
  const lengths = [LARGE, 10, LARGE, 10, 10, LARGE];
  await Promise.all(
    lengths.map(async (length, at) => {
      const mine = turns.next();
      if (mine !== undefined) await mine;
      turns.write(() => ({ message: 'x'.repeat(length) }));
      order.push(at);
    }),
  );
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
});
