import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Later } from '../../src/backplane/redis/connection.js';
import { FairTurns } from '../../src/backplane/redis/fair-turns.js';

const waits = () => false;
const command = (isExpired = waits): Later => ({ isExpired, send: (step) => step() });

/** Steps that end when they are told to, and the order in which they began. */
function steps() {
  const turns = new FairTurns();
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const take = (session: string, isExpired = waits) =>
    turns.take(session, command(isExpired), async () => {
      begun.push(session);
      await new Promise<void>((end) => ends.push(end));
      return session;
    });
  const end = async () => {
    ends.shift()?.();
    await setImmediate();
  };
  return { begun, take, end };
}

// Twenty GETs of one client had Redis look through a log at the same time: the calls of all others got 503.
it('runs one step of a session and two in all at a time, and lets sessions take turns', async () => {
  const { begun, take, end } = steps();
  const greedy = Array.from({ length: 20 }, () => take('greedy'));
  const others = ['b', 'c'].map((session) => take(session));
  await setImmediate();
  expect(begun).toEqual(['greedy', 'b']);
  await end();
  expect(begun).toEqual(['greedy', 'b', 'c']);
  await end();
  expect(begun).toEqual(['greedy', 'b', 'c', 'greedy']);
  for (let at = 0; at < 40; at += 1) await end();
  expect(await Promise.all([...greedy, ...others])).toHaveLength(22);
  expect(begun).toHaveLength(22);
});

it('does not run a step whose caller has given up, and goes on with the next one', async () => {
  const { begun, take, end } = steps();
  const first = take('a');
  let isExpired = false;
  const late = take('a', () => isExpired);
  const lost = expect(late).rejects.toThrow('too late');
  const next = take('a');
  await setImmediate();
  isExpired = true;
  await end();
  await lost;
  await first;
  expect(begun).toEqual(['a', 'a']);
  await end();
  expect(await next).toBe('a');
});

it('goes on after a step that failed', async () => {
  const turns = new FairTurns();
  const failed = turns.take('a', command(), () => Promise.reject(new Error('no')));
  const next = turns.take('a', command(), () => Promise.resolve(1));
  await expect(failed).rejects.toThrow('no');
  expect(await next).toBe(1);
});
