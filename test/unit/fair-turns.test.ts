import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Later } from '../../src/backplane/redis/connection/redis-connection.js';
import { FairTurns } from '../../src/backplane/redis/connection/fair-turns.js';

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

// Twenty GETs of one client made Redis read a log at the same time, and the calls of all other clients got 503. A limit of
// two steps for all sessions was too low: when 2,000 clients came back at once, some of them got 503.
it('runs one step of a session and 32 in all at a time, and lets sessions take turns', async () => {
  const { begun, take, end } = steps();
  const greedy = Array.from({ length: 20 }, () => take('greedy'));
  const sessions = Array.from({ length: 33 }, (_, at) => `s${at}`);
  const others = sessions.map((session) => take(session));
  await setImmediate();
  expect(begun).toEqual(['greedy', ...sessions.slice(0, 31)]);
  await end();
  expect(begun.slice(32)).toEqual(['s31']);
  await end();
  await end();
  expect(begun.slice(33)).toEqual(['s32', 'greedy']);
  for (let at = 0; at < 60; at += 1) await end();
  expect(await Promise.all([...greedy, ...others])).toHaveLength(53);
  expect(begun).toHaveLength(53);
});

it('skips a step whose caller has given up, and runs the next one', async () => {
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

it('runs the next step after one that failed', async () => {
  const turns = new FairTurns();
  const failed = turns.take('a', command(), () => Promise.reject(new Error('no')));
  const next = turns.take('a', command(), () => Promise.resolve(1));
  await expect(failed).rejects.toThrow('no');
  expect(await next).toBe(1);
});
