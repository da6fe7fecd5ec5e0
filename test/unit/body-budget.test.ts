import { describe, expect, it } from 'vitest';
import { BodyBudget } from '../../src/http/body/body-budget.js';

const MIB = 1024 * 1024;

describe('the budget of bodies', () => {
  /** How many bodies of one caller find room. */
  const fill = (budget: BodyBudget, who: string, bytes: number): number => {
    for (let count = 0; ; count += 1) {
      try {
        budget.share(who).hold(bytes);
      } catch {
        return count;
      }
    }
  };

  it('gives one caller half of itself, and each further caller half of the rest', () => {
    const budget = new BodyBudget(64 * MIB);
    expect(fill(budget, 'a', 4 * MIB)).toBe(8);
    expect(fill(budget, 'b', 4 * MIB)).toBe(4);
    expect(fill(budget, 'c', 4 * MIB)).toBe(0);
  });

  it('keeps a quarter for small bodies', () => {
    const budget = new BodyBudget(64 * MIB);
    for (let at = 0; at < 100; at += 1) fill(budget, `${at}`, 128 * 1024);
    expect(fill(budget, 'another', 128 * 1024)).toBe(0);
    expect(fill(budget, 'another', 64 * 1024)).toBe(128);
  });

  it('is whole again when the shares are released', () => {
    const budget = new BodyBudget(64 * MIB);
    const shares = Array.from({ length: 8 }, () => budget.share('a'));
    for (const share of shares) {
      share.hold(MIB);
      share.hold(4 * MIB);
      share.hold(10);
    }
    expect(() => budget.share('a').hold(1)).toThrow('Too many request bodies');
    for (const share of [...shares, ...shares]) share.release();
    expect(fill(budget, 'a', 4 * MIB)).toBe(8);
  });
});
