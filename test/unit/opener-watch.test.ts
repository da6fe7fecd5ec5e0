import { expect, it } from 'vitest';
import { OpenerWatch } from '../../src/execution/recovery/opener-watch.js';
import { ManualClock, settled } from './support/manual-clock.js';

interface Look {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
}

function newLook(): Look {
  let [resolve, reject]: [() => void, (error: Error) => void] = [() => undefined, () => undefined];
  const promise = new Promise<void>((...settle) => ([resolve, reject] = settle));
  return { promise, resolve, reject };
}

/** Two looks at the requests of a connection overlapped, and the success of one hid the failure of the other. */
it.each(['first', 'second'])(
  'repeats a look that failed although another one succeeded: the %s',
  async (failing) => {
    const clock = new ManualClock();
    const watch = { findDead: () => Promise.resolve(new Set<string>()) } as never;
    const openers = new OpenerWatch({
      ...{ membership: {} as never, watch, clock, logger: { warn: () => undefined } },
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
