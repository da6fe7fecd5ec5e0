/** Readers of a session's log: they leave nothing behind, and report gaps. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { LogEntry, SessionRecord, SessionRecords } from '../../src/backplane/backplane.js';
import { compareLogIds } from '../../src/backplane/backplane.js';
import { unavailable } from '../../src/protocol/errors.js';
import type { SessionEvent } from '../../src/index.js';
import type { EventOptions } from '../../src/operator/session-events.js';
import { readEvents } from '../../src/operator/session-events.js';
import { ManualClock, settled } from './support/manual-clock.js';
import { partOf } from '../support/part-of.js';

/** A log that the test writes, and its reader. */
function reader(options: EventOptions = {}) {
  const clock = new ManualClock();
  let log: LogEntry[] = [];
  let there = true;
  let away = false;
  const backplane = partOf<SessionRecords>({
    history: (_: string, after: string, count: number): Promise<LogEntry[]> => {
      if (away) return Promise.reject(unavailable(new Error('away')));
      const found = log.filter(({ logId }) => compareLogIds(logId, after) > 0);
      return Promise.resolve(found.slice(0, count));
    },
    load: () => Promise.resolve(there ? ({ id: 's' } as SessionRecord) : undefined),
  });
  const abort = new AbortController();
  const { signal } = abort;
  const seen: SessionEvent[] = [];
  const read = async (leaveAfter = Infinity): Promise<void> => {
    const parts = { backplane, clock, redact: undefined };
    for await (const event of readEvents(parts, 's', { signal, ...options })) {
      seen.push(event);
      if (seen.length === leaveAfter) break;
    }
  };
  return {
    ...{ clock, abort, seen, read },
    add: (...ids: string[]) =>
      log.push(...ids.map((logId): LogEntry => ({ ...ENTRY, logId, at: parseInt(logId) }))),
    trim: (before: string) => (log = log.filter(({ logId }) => compareLogIds(logId, before) >= 0)),
    end: () => (there = false),
    setAway: (value: boolean) => (away = value),
    told: () => seen.map(({ id, type }) => (type === 'message.received' ? id : `${type} ${id}`)),
    left: () => ({ timers: clock.pending, listeners: getEventListeners(signal, 'abort').length }),
  };
}

const ENTRY = {
  ...{ direction: 'in' as const, stream: undefined, asker: undefined },
  message: '{"jsonrpc":"2.0","method":"x"}',
};
const NOTHING = { timers: 0, listeners: 0 };

describe('a reader of events leaves nothing behind', () => {
  it('when it is aborted during a wait: it ends at once, without a timer or a listener', async () => {
    const { clock, abort, read, add, left, told } = reader({ follow: true });
    add('1-0');
    const reading = read();
    await settled();
    // The reader has one timer and one listener, however long it waits.
    for (let at = 0; at < 5; at += 1) {
      await clock.advance(1_100);
      expect(left()).toEqual({ timers: 1, listeners: 1 });
    }
    abort.abort();
    await reading;
    expect(left()).toEqual(NOTHING);
    expect(told()).toEqual(['1-0']);
  });

  it('when it was aborted before: it reads nothing', async () => {
    const { abort, read, add, left, seen } = reader({ follow: true });
    add('1-0');
    abort.abort();
    await read();
    expect([seen, left()]).toEqual([[], NOTHING]);
  });

  it('when its session ends', async () => {
    const { clock, read, add, end, left, told } = reader({ follow: true });
    add('1-0', '1-1');
    const reading = read();
    await clock.advance(3_000);
    end();
    await clock.advance(1_100);
    await reading;
    expect(told()).toEqual(['1-0', '1-1', 'session.closed 1-2']);
    expect(left()).toEqual(NOTHING);
  });

  it('when its loop is left', async () => {
    const { clock, read, add, left } = reader({ follow: true });
    const reading = read(2);
    add('1-0');
    await clock.advance(1_100);
    add('2-0');
    await clock.advance(1_100);
    await reading;
    expect(left()).toEqual(NOTHING);
  });

  it('when the backplane is away: it waits, and goes on at its position', async () => {
    const { clock, abort, read, add, setAway, left, told } = reader({ follow: true });
    add('1-0');
    const reading = read();
    await settled();
    setAway(true);
    await clock.advance(60_000);
    expect(left()).toEqual({ timers: 1, listeners: 1 });
    add('2-0');
    setAway(false);
    await clock.advance(1_100);
    expect(told()).toEqual(['1-0', '2-0']);
    abort.abort();
    await reading;
    expect(left()).toEqual(NOTHING);
  });

  it('when it never reached the backplane: it rejects', async () => {
    const { read, setAway, left } = reader({ follow: true });
    setAway(true);
    await expect(read()).rejects.toMatchObject({ code: 'backplane_unavailable' });
    expect(left()).toEqual(NOTHING);
  });
});

describe('a reader of events reports a gap', () => {
  it('when the log was trimmed beyond its position', async () => {
    const { clock, abort, read, add, trim, told } = reader({ follow: true });
    add('1-0', '2-0');
    const reading = read();
    await settled();
    add('3-0', '4-0');
    trim('4-0');
    await clock.advance(1_100);
    expect(told()).toEqual(['1-0', '2-0', 'log.trimmed 2-1', '4-0']);
    abort.abort();
    await reading;
  });

  // A reader that continued after an event was not told that the events after it had been trimmed.
  it('when the log was trimmed beyond the event that it continues after', async () => {
    const { read, add, trim, told, seen } = reader({ after: '2-0' });
    add('1-0', '2-0', '3-0', '4-0');
    trim('4-0');
    await read();
    expect(told()).toEqual(['log.trimmed 2-1', '4-0']);
    expect(seen[0]).toMatchObject({ at: 4, direction: undefined, message: undefined });
  });

  it.each([
    ['nothing was trimmed', '1-0'],
    ['what was trimmed had been read', '2-0'],
    ['nothing fits between', '2-1'],
  ])('unless %s', async (_, oldest) => {
    const { read, add, trim, told } = reader({ after: '2-0' });
    add('1-0', '2-0', '2-1', '3-0');
    trim(oldest);
    await read();
    expect(told()).toEqual(['2-1', '3-0']);
  });

  it('with an id from which another reader continues without losing an event', async () => {
    const { read, add, told } = reader({ after: '2-1' });
    add('4-0');
    await read();
    expect(told()).toEqual(['log.trimmed 2-2', '4-0']);
  });
});
