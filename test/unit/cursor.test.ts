import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Cursors } from '../../src/stream/cursor.js';

const word = fc.stringMatching(/^[0-9a-z]{1,24}$/);
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const position = fc
  .tuple(count, count, count)
  .map(([n, ms, counter]) => ({ n, logId: `${ms}-${counter}` }));

it('parses a cursor to the stream and position that it was made from', () => {
  fc.assert(
    fc.property(fc.string(), word, position, (sessionId, stream, place) => {
      const cursors = new Cursors(sessionId);
      expect(cursors.parse(cursors.format(stream, place))).toEqual({ stream, position: place });
    }),
  );
});

it('formats a cursor as short visible ASCII, which fits an SSE id and a header', () => {
  fc.assert(
    fc.property(fc.string(), word, position, (sessionId, stream, place) => {
      expect(new Cursors(sessionId).format(stream, place)).toMatch(/^[!-~]{1,80}$/);
    }),
  );
});

// The standalone stream has the same name in every session. Other libraries replay the wrong messages for such a cursor.
it('rejects a cursor of another session', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.uuid(), word, position, (one, other, stream, place) => {
      fc.pre(one !== other);
      expect(new Cursors(other).parse(new Cursors(one).format(stream, place))).toBeUndefined();
    }),
  );
});

it('parses any text as a cursor of this session or as undefined', () => {
  const cursors = new Cursors('session');
  const genuine = cursors.format('g', { n: 7, logId: '1700000000000-3' });
  const mutated = fc
    .tuple(fc.nat(genuine.length), fc.nat(3), fc.string({ maxLength: 3 }))
    .map(([at, drop, text]) => genuine.slice(0, at) + text + genuine.slice(at + drop));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), mutated), (text) => {
      const cursor = cursors.parse(text);
      if (cursor === undefined) return;
      expect(cursor.stream).toMatch(/^[0-9a-z]{1,40}$/);
      expect(Number.isSafeInteger(cursor.position.n)).toBe(true);
      expect(cursor.position.logId).toMatch(/^\d{1,16}-\d{1,16}$/);
    }),
    { numRuns: 2000 },
  );
});

it.each([
  '',
  '0',
  '_GET_stream_0_abc',
  '1-0',
  '12345678.g.1.1',
  '12345678.g.1.1.1.1',
  'zzzzzzzz.g.zzzzzzzzzzz.zzzzzzzzzzz.zzzzzzzzzzz',
])('%j is no cursor', (text) => {
  expect(new Cursors('session').parse(text)).toBeUndefined();
});

it('rejects a cursor with a number that is too large', () => {
  const cursors = new Cursors('session');
  const [tag] = cursors.format('g', { n: 1, logId: '1-1' }).split('.');
  expect(cursors.parse(`${tag ?? ''}.g.1.1.1`)).toBeDefined();
  expect(cursors.parse(`${tag ?? ''}.g.zzzzzzzzzzz.1.1`)).toBeUndefined();
});
