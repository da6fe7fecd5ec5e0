import { describe, expect, it } from 'vitest';
import { duration, placeInLog } from '../../src/cli/times.js';

const NOW = new Date(2026, 10, 30, 14, 30, 0);
const place = (text: string) => placeInLog(text, undefined, NOW);

describe('a place in the log', () => {
  it('is the id of an event as it is', () => {
    expect(place('1764507600000-0')).toBe('1764507600000-0');
  });

  it.each([
    ['2026-11-30', new Date(2026, 10, 30)],
    ['2026-11-30T13:05', new Date(2026, 10, 30, 13, 5)],
    ['2026-11-30 13:05:10.5', new Date(2026, 10, 30, 13, 5, 10, 500)],
    ['2026-11-30T13:05:10Z', new Date(Date.UTC(2026, 10, 30, 13, 5, 10))],
    ['2026-11-30T13:05+02:00', new Date(Date.UTC(2026, 10, 30, 11, 5))],
    ['9:05', new Date(2026, 10, 30, 9, 5)],
    ['13:05:10.25', new Date(2026, 10, 30, 13, 5, 10, 250)],
    ['10m', new Date(2026, 10, 30, 14, 20)],
    ['1h30m', new Date(2026, 10, 30, 13, 0)],
  ])('is the time %s', (text, time) => {
    expect(place(text)).toEqual(time);
  });

  it.each(['', 'now', '10', '25:00', '2026-13-01', '2026-11-30T25:00', '5y', '-5m', '12:60'])(
    'is not %j',
    (text) => {
      expect(() => place(text)).toThrow('It must be the id of an event, or a time');
    },
  );
});

it('a duration has units', () => {
  expect(['90s', '1.5h', '2d', '1h1m'].map(duration)).toEqual([
    90_000, 5_400_000, 172_800_000, 3_660_000,
  ]);
  expect(() => duration('90')).toThrow('It must be a duration');
});
