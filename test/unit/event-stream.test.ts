import { describe, expect, it } from 'vitest';
import type { Place, ServerSentEvent } from '../../src/intercept/http/event-stream.js';
import { EventStreamReader } from '../../src/intercept/http/event-stream.js';

function read(...pieces: string[]): { events: ServerSentEvent[]; place: Place } {
  const events: ServerSentEvent[] = [];
  const place: Place = { lastEventId: undefined, retryMs: undefined };
  const reader = new EventStreamReader(place, (event) => void events.push(event));
  for (const piece of pieces) reader.feed(piece);
  return { events, place };
}

const dataOf = (...pieces: string[]): string[] => read(...pieces).events.map(({ data }) => data);

describe('the lines of an event stream', () => {
  it.each(['\n', '\r', '\r\n'])('end with %j', (end) => {
    const lines = [': a comment', 'event: e', 'data: 1', 'data', 'data:  2', '', 'data:3', '', ''];
    // A line feed may follow a carriage return, so the reader needs one more character to end the line.
    const { events } = read(`${lines.join(end)}:`);
    expect(events).toEqual([
      { event: 'e', data: '1\n\n 2' },
      { event: undefined, data: '3' },
    ]);
  });

  it('may be cut anywhere, also within their end', () => {
    const text = '\ufeffid: 1\r\ndata: a\r\rdata: b\n\r\ndata: c\r\n\r\n';
    const whole = read(text);
    expect(whole.events.map(({ data }) => data)).toEqual(['a', 'b', 'c']);
    expect(read(...Array.from(text)).events).toEqual(whole.events);
    for (let at = 0; at <= text.length; at += 1) {
      expect(read(text.slice(0, at), '', text.slice(at)).events).toEqual(whole.events);
    }
  });

  it('lose a byte order mark at the beginning only', () => {
    expect(dataOf('\ufeffdata: a\n\n\ufeffdata: b\n\n')).toEqual(['a']);
  });

  it('do not make an event of data that looks like an id', () => {
    const { events } = read('data: {"a":"', 'id: 1"}\n\ndata: [2]\n', 'id: 2\n\n');
    expect(events.map(({ data }) => JSON.parse(data) as unknown)).toEqual([{ a: 'id: 1' }, [2]]);
  });

  it('do not make an event before it has ended', () => {
    const { events, place } = read('id: 1\ndata: a\n');
    expect(events).toEqual([]);
    expect(place.lastEventId).toBeUndefined();
  });
});

describe('the place where a stream continues', () => {
  it('is the last id of a whole event, with data or with empty data', () => {
    expect(read('id: 1\ndata: a\n\nid: 2\ndata:\n\n').place.lastEventId).toBe('2');
    expect(read('id: 1\ndata: a\n\nid: 2\n\n').place.lastEventId).toBe('2');
    expect(read('id: 1\n\n', ': hello\n\n', 'id: 2\r\n\r\n').place.lastEventId).toBe('2');
    expect(read('id: 1\n\nid: 2\n\ndata: a\n\nid: 3\n\n').place.lastEventId).toBe('3');
    expect(read('id: 1\ndata: a\n\ndata: b\n\nid: 3\n').place.lastEventId).toBe('1');
    expect(read('id: 1\ndata:\n\nid: a\0b\ndata:\n\n').place.lastEventId).toBe('1');
  });

  // The place after an event with an id alone depended on where the stream was cut.
  it.each([
    'id: 7\n\n',
    'event: message\nid: 7\n\n',
    'retry: 500\nid: 7\n\n',
    'id: 7\r\r',
    'id: 7\r\n\r\n',
  ])('also if %j comes in pieces', (text) => {
    for (const before of ['', 'id: 1\ndata: a\n\n']) {
      const whole = before + text;
      expect(read(...Array.from(whole)).place.lastEventId).toBe('7');
      for (let at = 0; at <= whole.length; at += 1) {
        const { events, place } = read(whole.slice(0, at), whole.slice(at));
        expect(place.lastEventId).toBe('7');
        expect(events).toHaveLength(before === '' ? 0 : 1);
      }
    }
  });

  it('is unknown after an empty id', () => {
    expect(read('id: 1\ndata:\n\nid\ndata:\n\n').place.lastEventId).toBeUndefined();
  });

  it('comes with a delay in milliseconds, at least 100', () => {
    expect(read('retry: 2500\n').place.retryMs).toBe(2500);
    expect(read('retry: 0\n').place.retryMs).toBe(100);
    expect(read('retry: 99999999999999\n').place.retryMs).toBe(30_000);
    expect(read('retry: soon\nretry: -1\nretry: 1.5\nretry:\n').place.retryMs).toBeUndefined();
  });
});

// If the line is joined with each piece, the time grows with the square of its length.
it('joins a line of many pieces once', () => {
  const piece = 'x'.repeat(16_384);
  const pieces = Array.from({ length: 2000 }, () => piece);
  // Processor time does not depend on what else the machine does.
  const before = process.cpuUsage();
  const [data] = dataOf('data: ', ...pieces, '\n\n');
  expect(data).toHaveLength(piece.length * pieces.length);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(1000);
});
