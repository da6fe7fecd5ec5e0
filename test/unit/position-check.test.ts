import { expect, it } from 'vitest';
import type { EndsReply, EndsRequest, Streams } from '../../src/backplane/backplane.js';
import { Followers } from '../../src/stream/followers/followers.js';
import { PositionCheck } from '../../src/stream/followers/position-check.js';
import { follow } from './support/fake-stream.js';
import { ManualClock, settled } from './support/manual-clock.js';
import { partOf } from '../support/part-of.js';

/** The longest time between two checks, with its jitter. */
const AT_MOST_MS = 44_000;

function setUp(endOf: (sessionId: string) => EndsReply = () => [0]) {
  const clock = new ManualClock();
  const batches: EndsRequest[][] = [];
  const state = { fails: 0, meanwhile: (): void => undefined };
  const ends = async (requests: EndsRequest[]): Promise<EndsReply[]> => {
    batches.push(requests);
    const replies = requests.map(({ sessionId }) => endOf(sessionId));
    state.meanwhile();
    if (batches.length <= state.fails) throw new Error('away');
    return Promise.resolve(replies);
  };
  const followers = new Followers(() => check.schedule());
  const check = new PositionCheck({ backplane: partOf<Streams>({ ends }), followers, clock });
  const add = (sessionId: string, n = 0) => {
    const made = follow({ sessionId, position: { n, logId: `${n}-0` } });
    followers.add(made.follower);
    return made;
  };
  return { clock, batches, state, followers, check, add };
}

it('makes those followers read the log that are behind, or whose stream is over or has lost its end', async () => {
  const ends: Record<string, EndsReply> = {
    ...{ level: [3], behind: [4], ahead: [2], over: [undefined], unknown: undefined },
  };
  const { clock, add } = setUp((id) => ends[id]);
  const made = Object.keys(ends).map((id) => ({ id, ...add(id, 3) }));
  await clock.advance(AT_MOST_MS);
  await settled();
  const looked = made.filter(({ log }) => log.reads > 0).map(({ id }) => id);
  expect(looked).toEqual(['behind', 'ahead', 'over']);
});

it('does not poke a follower that has reached the end during the read', async () => {
  const { clock, add, state } = setUp(() => [0]);
  const { follower, log } = add('busy');
  state.meanwhile = () => follower.offer(log.append(), true);
  await clock.advance(AT_MOST_MS);
  expect(follower.position.n).toBe(1);
  expect(log.reads).toBe(0);
});

it('reads a hundred sessions at a time, and goes on after a read that failed', async () => {
  const { clock, add, batches, state } = setUp(() => [1]);
  state.fails = 1;
  const made = Array.from({ length: 250 }, (_, at) => add(`s${at}`));
  await clock.advance(AT_MOST_MS);
  expect(batches.map(({ length }) => length)).toEqual([100, 100, 50]);
  await settled();
  expect(made.filter(({ log }) => log.reads > 0)).toHaveLength(150);
});

it('has a timer only while the node has a follower, and none after it was closed', async () => {
  const { clock, add, batches, followers, check } = setUp();
  expect(clock.pending).toBe(0);
  const { follower } = add('only');
  await clock.advance(AT_MOST_MS);
  expect(batches).toHaveLength(1);
  followers.remove(follower);
  await clock.advance(AT_MOST_MS);
  expect(clock.pending).toBe(0);
  expect(batches).toHaveLength(1);
  add('another');
  check.close();
  expect(clock.pending).toBe(0);
});

it('sets no timer with a backplane that loses no wake-up silently', () => {
  const clock = new ManualClock();
  const followers = new Followers(() => check.schedule());
  const check = new PositionCheck({ backplane: partOf<Streams>({}), followers, clock });
  followers.add(follow().follower);
  expect(clock.pending).toBe(0);
});
