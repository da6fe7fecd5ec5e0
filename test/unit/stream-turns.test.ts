import { expect, it } from 'vitest';
import { StreamTurns } from '../../src/http/stream-turns.js';
import { ManualClock, settled } from './support/manual-clock.js';

/** A client opened its stream 256 times a second on two nodes, and calls of others took more than twice as long. */
function begin() {
  const clock = new ManualClock();
  const turns = new StreamTurns(clock);
  const served: number[] = [];
  const leave: (() => void)[] = [];
  const take = (name: number, principal = 'ann') =>
    void turns
      .take('s', 'g', principal, (task) => (leave[name] = task))
      .then(() => served.push(name));
  return { clock, turns, served, leave, take };
}

it('serves ten GETs of a stream within a second, and later ones in their order', async () => {
  const { clock, turns, served, take } = begin();
  for (let name = 0; name < 25; name += 1) take(name);
  await settled();
  expect(served).toHaveLength(10);
  await clock.advance(999);
  expect(served).toHaveLength(10);
  await clock.advance(1);
  expect(served).toHaveLength(20);
  await clock.advance(1000);
  expect(served).toEqual(Array.from({ length: 25 }, (_, name) => name));
  turns.close();
});

it('counts the GETs of another caller by themselves', async () => {
  const { turns, served, take } = begin();
  for (let name = 0; name < 20; name += 1) take(name);
  take(100, 'eve');
  await settled();
  expect(served).toContain(100);
  turns.close();
});

it('gives no turn to a client that has gone', async () => {
  const { clock, turns, served, leave, take } = begin();
  for (let name = 0; name < 40; name += 1) take(name);
  for (let name = 10; name < 25; name += 1) leave[name]?.();
  await settled();
  // A GET whose client has gone ends at once. It waited for its turn in memory, and there was no bound on how many did.
  expect(served).toHaveLength(25);
  await clock.advance(1000);
  expect(served.slice(25)).toEqual(Array.from({ length: 10 }, (_, at) => 25 + at));
  turns.close();
});

it('lets all that wait go on when it closes, and leaves no timer', async () => {
  const { clock, turns, served, take } = begin();
  for (let name = 0; name < 25; name += 1) take(name);
  turns.close();
  take(25);
  await settled();
  expect(served).toHaveLength(26);
  expect(clock.pending).toBe(0);
});
