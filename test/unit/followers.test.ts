import { expect, it } from 'vitest';
import { Followers } from '../../src/stream/followers/followers.js';
import { follow } from './support/fake-stream.js';
import { ManualClock, settled } from './support/manual-clock.js';

// After an outage, all followers of all nodes read the log at the same instant, and Redis had thousands of scripts to run.
it('makes all followers read the log after a resubscription, fifty at a time', async () => {
  const clock = new ManualClock();
  const followers = new Followers();
  const all = Array.from({ length: 120 }, (_, at) => follow({ sessionId: `s${at}` }));
  for (const { follower } of all) followers.add(follower);
  await settled();
  const before = all.map(({ log }) => log.reads);
  const looked = () => all.filter(({ log }, at) => log.reads > (before[at] ?? 0)).length;
  followers.pokeAll(clock);
  await settled();
  expect(looked()).toBe(50);
  await clock.advance(60);
  expect(looked()).toBe(100);
  await clock.advance(60);
  expect(looked()).toBe(120);
  expect(clock.pending).toBe(0);
});
