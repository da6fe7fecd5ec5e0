/** Parses times and durations on the command line. */
import { InvalidArgumentError } from 'commander';
import { isEventId } from '../operator/session-events.js';

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(?:\d+(?:\.\d+)?[smhd])+$/;
const TIME_OF_DAY = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const DATE_AND_TIME =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)(Z|[+-]\d{2}:?\d{2})?$/;

/** Parses a duration such as `90s`, `10m`, `1h30m` or `2d`, and returns milliseconds. */
export function duration(text: string): number {
  if (!DURATION.test(text)) {
    throw new InvalidArgumentError('It must be a duration such as 90s, 10m, 1h30m or 2d.');
  }
  const parts = text.matchAll(/([\d.]+)([smhd])/g);
  return [...parts].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (UNITS[unit] ?? 0),
    0,
  );
}

/**
 * Parses a place in a log: the id of an event, or a time. A time is a date, a date with a time, a time of today, or how long
 * ago it was. Times without a zone are local.
 */
export function placeInLog(text: string, _before?: unknown, now = new Date()): string | Date {
  if (isEventId(text)) return text;
  const time = parseTime(text, now);
  if (time !== undefined && !Number.isNaN(time.getTime()) && time.getTime() >= 0) return time;
  throw new InvalidArgumentError(
    'It must be the id of an event, or a time such as 2026-11-30T13:05, 13:05:10 (today) or 10m (ago).',
  );
}

function parseTime(text: string, now: Date): Date | undefined {
  if (DURATION.test(text)) return new Date(now.getTime() - duration(text));
  const [, hours, minutes, seconds = '0', fraction = '0'] = TIME_OF_DAY.exec(text) ?? [];
  if (hours !== undefined && Number(hours) < 24 && Number(minutes) < 60 && Number(seconds) < 60) {
    const time = new Date(now);
    time.setHours(Number(hours), Number(minutes), Number(seconds), Number(fraction.padEnd(3, '0')));
    return time;
  }
  // A date alone would be taken as one of UTC.
  if (DATE.test(text)) return new Date(`${text}T00:00`);
  const [, date, time, zone = ''] = DATE_AND_TIME.exec(text) ?? [];
  return date === undefined ? undefined : new Date(`${date}T${time}${zone}`);
}
