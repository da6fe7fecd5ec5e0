/** Limits of the memory that a server behind this library can make a node hold. */
import { describe, expect, it } from 'vitest';
import { MemoryBudget, MESSAGES_AT_ONCE } from '../../src/intercept/bounds.js';
import { EventStreamReader } from '../../src/intercept/http/event-stream.js';
import { Failure } from '../../src/intercept/failure.js';
import { messageOf, messagesOf } from '../../src/intercept/incoming-messages.js';

const KIB = 1024;

describe('incomplete messages', () => {
  it('end when one of them is too long', () => {
    const share = new MemoryBudget(KIB).share(() => undefined);
    share.hold(KIB);
    expect(() => share.hold(KIB + 1)).toThrow('a message of more than 1024 bytes');
  });

  it('end with the longest when all together are too many', () => {
    const budget = new MemoryBudget(KIB);
    const ended: string[] = [];
    const longest = budget.share(() => void ended.push('longest'));
    longest.hold(KIB);
    for (let at = 0; at < 2 * (MESSAGES_AT_ONCE - 1); at += 1) {
      budget.share(() => void ended.push('short')).hold(KIB / 2);
    }
    expect(ended).toEqual([]);
    const last = budget.share(() => void ended.push('last'));
    last.hold(1);
    expect(ended).toEqual(['longest']);
    // A stream that has ended takes no memory any more, whatever it still reports.
    longest.hold(KIB);
    last.hold(KIB);
    expect(ended).toEqual(['longest']);
  });

  it('return their bytes to the budget', () => {
    const budget = new MemoryBudget(KIB);
    const ended: number[] = [];
    for (let at = 0; at < 1000; at += 1) {
      const share = budget.share(() => void ended.push(at));
      share.hold(KIB);
      share.release();
      share.release();
    }
    expect(ended).toEqual([]);
  });
});

describe('an event stream', () => {
  /** The largest number of bytes that the reader has reported. */
  function held(pieces: Iterable<string>): number {
    let most = 0;
    const place = { lastEventId: undefined, retryMs: undefined };
    const reader = new EventStreamReader(
      place,
      () => undefined,
      (bytes) => (most = Math.max(most, bytes)),
    );
    for (const piece of pieces) reader.feed(piece);
    return most;
  }
  const times = (count: number, piece: string): string[] =>
    Array.from({ length: count }, () => piece);

  it.each<[string, string[]]>([
    ['a line without an end', times(100, 'x'.repeat(KIB))],
    ['a comment without an end', [':', ...times(100, 'x'.repeat(KIB))]],
    ['lines of data without an end of their event', times(100, `data: ${'x'.repeat(KIB)}\n`)],
    ['empty lines of data', times(5000, 'data\n')],
    ['a line in pieces of one character', times(5000, 'x')],
  ])('tells of what it keeps: %s', (_, pieces) => {
    expect(held(pieces)).toBeGreaterThan(100_000);
  });

  it.each<[string, string[]]>([
    ['comments', times(2000, `: ${'x'.repeat(100)}\n`)],
    ['fields that nobody knows', times(2000, `what: ${'x'.repeat(100)}\n`)],
    ['events', times(2000, `id: 1\ndata: ${'x'.repeat(100)}\n\n`)],
    ['ids and names of one event', times(2000, `id: ${'x'.repeat(100)}\nevent: y\n`)],
  ])('keeps nothing of %s, however many there are', (_, pieces) => {
    expect(held(pieces)).toBeLessThan(2 * KIB);
  });

  it.each([
    ['id', 'an event id of more than 1024 characters'],
    ['event', 'the name of an event of more than 1024 characters'],
  ])('refuses a field `%s` that is too long', (field, text) => {
    expect(() => held([`${field}: ${'x'.repeat(2000)}\n`])).toThrow(text);
  });
});

describe('a message of the server', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

  it.each([
    ['{"jsonrpc":"2.0","id":[1],"method":"ping"}', 'id'],
    ['{"jsonrpc":"2.0","id":null,"method":"ping"}', 'id'],
    ['{"jsonrpc":"2.0","id":1e999,"method":"ping"}', 'id'],
    [`{"jsonrpc":"2.0","id":"${'x'.repeat(1025)}","method":"ping"}`, 'id'],
    ['{"jsonrpc":"2.0","id":{"toString":1},"result":{}}', 'id'],
    ['{"jsonrpc":"2.0","method":{"toString":1}}', 'method'],
    ['{"jsonrpc":"2.0","method":"x","params":[]}', 'params'],
    ['{"jsonrpc":"2.0","method":"x","params":"abc"}', 'params'],
    ['{"jsonrpc":"2.0","method":"x","params":{"_meta":7}}', '_meta'],
    [
      '{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":{}}}}',
      'progressToken',
    ],
    ['{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[]}}', 'requestId'],
    ['{"jsonrpc":"2.0","id":1,"result":null}', 'result'],
    ['{"jsonrpc":"2.0","id":1,"result":[]}', 'result'],
    ['{"jsonrpc":"2.0","id":1,"error":null}', 'error'],
    ['{"jsonrpc":"2.0","id":1,"error":{"code":{},"message":"x"}}', 'error'],
  ])('is refused: %s', (text, member) => {
    const what = `a message whose ${member} is not what it has to be`;
    expect(() => messageOf(text)).toThrow(what);
    expect(() => messagesOf(`[${text}]`)).toThrow(what);
  });

  it.each([
    ['deep', `{"jsonrpc":"2.0","id":${nested(6000)},"method":"ping"}`, 'nested deeper than 1000'],
    ['wide', `{"jsonrpc":"2.0","id":1,"result":{"x":[${'0,'.repeat(300_000)}0]}}`, 'values'],
  ])('is refused before it is parsed: %s', (_, text, what) => {
    expect(() => messageOf(text)).toThrow(what);
    expect(() => messageOf(text)).toThrow(Failure);
  });

  it('is refused in a batch of too many', () => {
    const batch = Array.from({ length: 1001 }, () => ({ jsonrpc: '2.0', method: 'x' }));
    expect(() => messagesOf(JSON.stringify(batch))).toThrow('a batch of more than 1000');
  });

  it('may have additional members, and `params` that are null', () => {
    const text = '{"jsonrpc":"2.0","id":-1.5,"method":"x","params":null,"more":{"__proto__":7}}';
    expect(messageOf(text)).toEqual(JSON.parse(text.replace('"params":null,', '')));
    expect(
      messageOf('{"jsonrpc":"2.0","error":{"code":1,"message":"","data":[]},"id":null}'),
    ).toBeDefined();
  });

  it('is not found in text that is no JSON-RPC', () => {
    for (const text of ['', '{', 'null', '7', '[]', '{}', '{"jsonrpc":"1.0","method":"x"}']) {
      expect(messageOf(text)).toBeUndefined();
    }
  });
});
