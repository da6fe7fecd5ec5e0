import { describe, expect, it } from 'vitest';
import { SharedTimer } from '../../src/protocol/timing/shared-timer.js';
import { ManualClock } from './support/manual-clock.js';

function rig() {
  const clock = new ManualClock();
  const timer = new SharedTimer(clock, 100);
  const struck: string[] = [];
  const wait = (name: string) =>
    timer.after(() => struck.push(`${name} ${clock.now() - 1_000_000}`));
  return { clock, timer, struck, wait };
}

describe('SharedTimer', () => {
  it('calls each wait when its time is over, with one timer', async () => {
    const { clock, struck, wait } = rig();
    wait('a');
    await clock.advance(30);
    wait('b');
    wait('c');
    expect(clock.pending).toBe(1);
    await clock.advance(500);
    expect(struck).toEqual(['a 100', 'b 130', 'c 130']);
    expect(clock.pending).toBe(0);
  });

  it('does not call a cancelled wait, and calls the others in time', async () => {
    const { clock, struck, wait } = rig();
    const cancel = wait('a');
    await clock.advance(60);
    wait('b');
    cancel();
    cancel();
    await clock.advance(100);
    expect(struck).toEqual(['b 160']);
  });

  it('lets a callback add a wait', async () => {
    const { clock, timer, struck, wait } = rig();
    timer.after(() => void wait('again'));
    wait('b');
    await clock.advance(50);
    wait('c');
    await clock.advance(500);
    expect(struck).toEqual(['b 100', 'c 150', 'again 200']);
  });

  it('calls every wait at once when it is closed, and leaves no timer', async () => {
    const { clock, timer, struck, wait } = rig();
    wait('a');
    await clock.advance(10);
    const cancel = wait('b');
    wait('c');
    cancel();
    timer.close();
    expect(clock.pending).toBe(0);
    await clock.advance(500);
    expect(struck).toEqual(['a 10', 'c 10']);
  });

  // The cancelled wait left the list during a loop over it. All waits behind it were then never called.
  it.each([
    ['strikes', ({ clock }: ReturnType<typeof rig>) => clock.advance(100)],
    [
      'is closed',
      ({ timer }: ReturnType<typeof rig>) => {
        timer.close();
        return Promise.resolve();
      },
    ],
  ])('lets a callback cancel another wait when the timer %s', async (_, end) => {
    const all = rig();
    const { timer, struck, wait } = all;
    let cancel = (): void => undefined;
    timer.after(() => cancel());
    cancel = wait('b');
    wait('c');
    await end(all);
    expect(struck.map((text) => text.charAt(0))).toEqual(['c']);
  });
});
