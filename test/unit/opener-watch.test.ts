import { expect, it } from 'vitest';
import { OpenerWatch } from '../../src/execution/recovery/opener-watch.js';
import { announcement } from '../../src/execution/reserved-sessions.js';
import { LOOK_EVERY_MS } from '../../src/stream/node-watch.js';
import { streamShownOnStandalone } from '../../src/stream/shown-on.js';
import { ManualClock, settled } from './support/manual-clock.js';

interface Look {
  promise: Promise<boolean>;
  resolve: () => void;
  reject: (error: Error) => void;
}

function newLook(): Look {
  let [resolve, reject]: [() => void, (error: Error) => void] = [() => undefined, () => undefined];
  const promise = new Promise<boolean>((settle, fail) => {
    [resolve, reject] = [() => settle(false), fail];
  });
  return { promise, resolve, reject };
}

/** Two looks at the requests of a connection overlapped, and the success of one hid the failure of the other. */
it.each(['first', 'second'])(
  'repeats a look that failed although another one succeeded: the %s',
  async (failing) => {
    const clock = new ManualClock();
    const watch = { findDead: () => Promise.resolve(new Set<string>()) } as never;
    const openers = new OpenerWatch({
      ...{ backplane: {} as never, watch, clock, logger: { warn: () => undefined } },
    });
    const looks: Look[] = [];
    const follower = { ended: false } as never;
    openers.add(follower, () => {
      const look = newLook();
      looks.push(look);
      return look.promise;
    });
    openers.check(follower);
    openers.check(follower);
    const [first, second] = looks;
    if (failing === 'first') {
      second?.resolve();
      await settled();
      first?.reject(new Error('Redis is away'));
    } else {
      first?.resolve();
      await settled();
      second?.reject(new Error('Redis is away'));
    }
    await settled();
    await clock.advance(5_000);
    expect(looks.length).toBeGreaterThan(2);
    openers.close();
  },
);

/**
 * The question whether a node still runs a request was sent once. It was lost if that node had no subscription at that moment,
 * and the client waited for ever.
 */
it('asks other nodes again, after longer and longer pauses, until there is none to ask', async () => {
  const clock = new ManualClock();
  const watch = { findDead: () => Promise.resolve(new Set<string>()) } as never;
  const openers = new OpenerWatch({
    ...{ backplane: {} as never, watch, clock, logger: { warn: () => undefined } },
  });
  const follower = { ended: false } as never;
  const askedAt: number[] = [];
  let isOpen = true;
  openers.add(follower, () => {
    askedAt.push(Math.round(clock.now() / LOOK_EVERY_MS));
    return Promise.resolve(isOpen);
  });
  openers.check(follower);
  await clock.advance(40 * LOOK_EVERY_MS);
  const start = askedAt[0] ?? 0;
  expect(askedAt.map((look) => look - start)).toEqual([0, 1, 3, 7, 15, 25, 35]);
  isOpen = false;
  await clock.advance(40 * LOOK_EVERY_MS);
  expect(askedAt).toHaveLength(8);
  openers.close();
});

/**
 * All connections of this node followed the requests of a dead node at the same moment, and each failure was a line of the log.
 */
it('follows the requests of a dead node some at a time, and logs failures once', async () => {
  const clock = new ManualClock();
  const watch = { findDead: () => Promise.resolve(new Set(['dead'])) } as never;
  const warnings: string[] = [];
  const logger = { warn: (text: string) => warnings.push(text) };
  const openers = new OpenerWatch({ ...{ backplane: {} as never, watch, clock, logger } });
  const looks: Look[] = [];
  for (let at = 0; at < 40; at += 1) {
    const follower = { ended: false } as never;
    openers.add(follower, () => {
      const look = newLook();
      looks.push(look);
      return look.promise;
    });
    openers.note(follower, 'dead');
  }
  await clock.advance(LOOK_EVERY_MS);
  expect(looks).toHaveLength(16);
  for (const look of looks) look.reject(new Error('Redis is away'));
  await settled();
  expect(looks).toHaveLength(32);
  expect(warnings).toHaveLength(1);
  openers.close();
  for (const look of looks) look.resolve();
  await settled();
  expect(looks).toHaveLength(32);
});

/**
 * A node that had been paused counted as dead, and its requests were followed. Then it was forgotten. It came back, received
 * another request of the same client and died: nobody ended that request, and its client waited for ever.
 */
it('follows the requests of a node again that was dead, came back, and is dead again', async () => {
  const clock = new ManualClock();
  let dead = new Set(['other']);
  let asked = 0;
  const watch = {
    findDead: () => {
      asked += 1;
      return Promise.resolve(dead);
    },
  } as never;
  const openers = new OpenerWatch({
    ...{ backplane: {} as never, watch, clock, logger: { warn: () => undefined } },
  });
  const follower = { ended: false } as never;
  const followed: (string | undefined)[] = [];
  openers.add(follower, (nodeId) => {
    followed.push(nodeId);
    return Promise.resolve(false);
  });
  openers.note(follower, 'other');
  await clock.advance(5 * LOOK_EVERY_MS);
  expect(followed).toEqual(['other']);
  dead = new Set();
  await clock.advance(2 * LOOK_EVERY_MS);
  dead = new Set(['other']);
  await clock.advance(5 * LOOK_EVERY_MS);
  expect(followed).toEqual(['other', 'other']);
  expect(asked).toBe(12);
  // It was back between two looks, received a request and died.
  openers.note(follower, 'other');
  await clock.advance(2 * LOOK_EVERY_MS);
  expect(followed).toEqual(['other', 'other', 'other']);
  openers.close();
});

/**
 * A dead node was looked at for as long as the connection lasted: of a connection that lasts for days, each node that was
 * restarted meanwhile. A node that comes back after such a time says again that it has requests of the client.
 */
it('forgets a node that was dead for ten minutes, and looks at it again when it is noted again', async () => {
  const clock = new ManualClock();
  let asked = 0;
  const watch = {
    findDead: () => {
      asked += 1;
      return Promise.resolve(new Set(['other']));
    },
  } as never;
  const openers = new OpenerWatch({
    ...{ backplane: {} as never, watch, clock, logger: { warn: () => undefined } },
  });
  const follower = { ended: false } as never;
  const followed: (string | undefined)[] = [];
  openers.add(follower, (nodeId) => {
    followed.push(nodeId);
    return Promise.resolve(false);
  });
  openers.note(follower, 'other');
  await clock.advance(600_000);
  expect(asked).toBeGreaterThan(600);
  await clock.advance(5 * LOOK_EVERY_MS);
  const before = asked;
  await clock.advance(60_000);
  expect(asked).toBe(before);
  expect(followed).toEqual(['other']);
  openers.note(follower, 'other');
  await clock.advance(5 * LOOK_EVERY_MS);
  expect(followed).toEqual(['other', 'other']);
  openers.close();
});

it('is told of a node again when that node has lost its lease since it said so', () => {
  let steadySince: number | undefined = 100;
  const node = {
    followers: { find: () => undefined },
    backplane: { steadySince: () => steadySince },
  };
  const isTold = (announcedAt: number | undefined): boolean =>
    announcement(node as never, { id: 's', announcedAt }, streamShownOnStandalone('x')).length > 0;
  expect([undefined, 50, 150].map(isTold)).toEqual([true, true, false]);
  steadySince = undefined;
  expect(isTold(150)).toBe(true);
});
