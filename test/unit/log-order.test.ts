import { describe, expect, it } from 'vitest';
import { HeardNumbers } from '../../src/backplane/encoded/heard-numbers.js';
import { LogOrder } from '../../src/backplane/encoded/log-order.js';

const origin = (number: number, nodeId = 'a') => ({ nodeId, number, purpose: 'out g' });
const at = (ms: number, stream = 'g') => ({ logId: `${ms}-0`, stream });

describe('the order of a log', () => {
  it('allows entries to be read in any order, and again', () => {
    const order = new LogOrder();
    for (const ms of [1, 2, 3, 2, 1, 3]) {
      expect(order.fits('s', origin(10 + ms), at(ms), undefined)).toBe(true);
    }
    // Each node and each session counts separately.
    expect(order.fits('s', origin(1, 'b'), at(4), undefined)).toBe(true);
    expect(order.fits('t', origin(1), at(4), undefined)).toBe(true);
  });

  it('refuses an entry that is in two places, and one that follows a later one', () => {
    const order = new LogOrder();
    expect(order.fits('s', origin(1), at(1), undefined)).toBe(true);
    expect(order.fits('s', origin(3), at(9), undefined)).toBe(true);
    expect(order.fits('s', origin(1), at(5), undefined)).toBe(false);
    expect(order.fits('s', origin(3), at(5), undefined)).toBe(false);
    expect(order.fits('s', origin(2), at(10), undefined)).toBe(false);
    expect(order.fits('s', origin(2), at(5), undefined)).toBe(true);
  });

  it('refuses an entry that follows a later one within a page, whatever was read before', () => {
    const order = new LogOrder();
    expect(order.fits('s', origin(9), at(9, 'p'), undefined)).toBe(true);
    const page = new Map<string, number>();
    expect(order.fits('s', origin(1), at(1, 'p'), page)).toBe(true);
    expect(order.fits('s', origin(2), at(2, 'p'), page)).toBe(true);
    expect(order.fits('s', origin(1), at(3, 'p'), page)).toBe(false);
  });
});

describe('a message that was heard', () => {
  it('is passed on once, in any order', () => {
    const heard = new HeardNumbers();
    for (const number of [5, 3, 4, 1_000, 999, 140_000, 139_999, 100_000]) {
      expect(heard.isNew(origin(number))).toBe(true);
      expect(heard.isNew(origin(number))).toBe(false);
    }
    expect(heard.isNew(origin(5, 'b'))).toBe(true);
  });

  it('does not count as new once it is too old to be remembered', () => {
    const heard = new HeardNumbers();
    expect(heard.isNew(origin(7))).toBe(true);
    // These numbers replace the older ones in memory.
    for (let number = 8; number < 300_000; number += 1_001) heard.isNew(origin(number));
    expect(heard.isNew(origin(7))).toBe(false);
    expect(heard.isNew(origin(6))).toBe(false);
    expect(heard.isNew(origin(299_000))).toBe(true);
  });
});
