import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { FailedStep, unavailable } from '../../src/protocol/errors.js';
import { FairTurns } from '../../src/backplane/redis/connection/fair-turns.js';

/** Steps that end when they are told to, and the order in which they began. */
function steps() {
  const turns = new FairTurns();
  const begun: string[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const take = (session: string) =>
    turns.take(session, async () => {
      begun.push(session);
      const error = await new Promise<Error | undefined>((end) => ends.push(end));
      if (error !== undefined) throw error;
      return session;
    });
  const end = async (error?: Error) => {
    await setImmediate();
    ends.shift()?.(error);
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

// The time limit of a step included its wait for a turn: when 2,000 clients came back at once to busy nodes, the last ones got
// 503 from a Redis that was well. But while Redis does not answer, clients must not wait for each turn before theirs.
it('refuses the steps that waited while Redis did not answer a step in time, and no others', async () => {
  const { begun, take, end } = steps();
  const first = take('a');
  const waited = expect(take('a')).rejects.toThrow('no answer');
  const firstFails = expect(first).rejects.toThrow('no answer');
  await end(unavailable(new Error('no answer')));
  await firstFails;
  // It began to wait before the first step began, as both were asked for at once.
  await waited;
  expect(begun).toEqual(['a']);

  const failed = expect(take('a')).rejects.toThrow('no answer');
  await setImmediate();
  // These begin to wait after that step has begun. Redis may answer them.
  const younger = [take('a'), take('b')];
  await end(unavailable(new Error('no answer')));
  await failed;
  await end();
  await end();
  expect(await Promise.all(younger)).toEqual(['a', 'b']);
});

it('runs the next step after one that failed in Redis', async () => {
  const { take, end } = steps();
  const failed = expect(take('a')).rejects.toThrow('stack overflow');
  const next = take('a');
  await end(new FailedStep(new Error('stack overflow')));
  await failed;
  await end();
  expect(await next).toBe('a');
});

it('refuses a step of a session of which a thousand steps wait already', async () => {
  const { take, end } = steps();
  const accepted = Array.from({ length: 1001 }, () => take('a'));
  await expect(take('a')).rejects.toThrow('too many steps of this session wait');
  const other = take('b');
  await setImmediate();
  for (let at = 0; at < 1002; at += 1) await end();
  expect(await Promise.all([...accepted, other])).toHaveLength(1002);
});
