import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeMessage } from '../../src/backplane/backplane.js';
import { parseMessage, formatMessage } from '../../src/backplane/redis/commands/message-format.js';

const sessionId = fc.string({
  unit: fc.integer({ min: 33, max: 126 }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 256,
});
const word = fc.stringMatching(/^[0-9a-z]{1,20}$/);
const token = fc.stringMatching(/^[0-9a-z]{1,20}:?[0-9a-z]{0,9}$/);
const count = fc.nat(Number.MAX_SAFE_INTEGER);
const position = fc.record({
  n: count,
  logId: fc.tuple(count, count).map(([ms, counter]) => `${ms}-${counter}`),
});
/** Any JSON text without raw line breaks. */
const text = fc.jsonValue().map((value) => JSON.stringify(value));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const event: fc.Arbitrary<NodeMessage> = fc
  .record({
    sessionId,
    stream: word,
    token,
    position,
    message: maybe(text),
    end: fc.boolean(),
    asker: maybe(word),
    inline: fc.boolean(),
  })
  .map(({ position: at, message, end, asker, inline, ...rest }) => ({
    type: 'event' as const,
    ...rest,
    inline,
    event: {
      position: at,
      // An event that is not inline has no message: the node reads it from the log.
      message: inline ? message : undefined,
      end,
      ...(asker !== undefined && { asker }),
    },
  }));

const messages: Record<NodeMessage['type'], fc.Arbitrary<NodeMessage>> = {
  event,
  deliver: fc.record(
    { type: fc.constant('deliver' as const), sessionId, message: text, context: text },
    { requiredKeys: ['type', 'sessionId', 'message'] },
  ),
  logged: fc.record(
    {
      type: fc.constant('logged' as const),
      sessionId,
      logId: position.map(({ logId }) => logId),
      context: text,
    },
    { requiredKeys: ['type', 'sessionId', 'logId'] },
  ),
  run: fc.record({
    type: fc.constant('run' as const),
    sessionId,
    stream: word,
    replyTo: word,
    context: text,
    messages: maybe(fc.array(text, { minLength: 1, maxLength: 5 })),
  }),
  placed: fc.record({
    type: fc.constant('placed' as const),
    sessionId,
    stream: word,
    executor: maybe(word),
    begun: fc.boolean(),
  }),
  disowned: fc.record({ type: fc.constant('disowned' as const), sessionId }),
  shape: fc.record({
    type: fc.constant('shape' as const),
    sessionId,
    revision: fc.nat().map((count) => `${String(count)}.n:1.m:2`),
    message: maybe(text),
  }),
  gone: fc.record({ type: fc.constant('gone' as const), sessionId }),
  release: fc.record({
    type: fc.constant('release' as const),
    sessionId,
    stream: word,
    token,
    replyTo: word,
    ref: word,
  }),
  released: fc.record({
    type: fc.constant('released' as const),
    ref: word,
    position: maybe(position),
  }),
  hangup: fc.record({ type: fc.constant('hangup' as const), sessionId, stream: word, token }),
  held: fc.record({ type: fc.constant('held' as const), sessionId, stream: word, token }),
  taken: fc.record({ type: fc.constant('taken' as const), sessionId, stream: word, token }),
  check: fc.record({
    type: fc.constant('check' as const),
    streams: fc.array(fc.record({ sessionId, stream: word }), { minLength: 1, maxLength: 100 }),
  }),
  orphaned: fc.record({ type: fc.constant('orphaned' as const), sessionId, stream: word, token }),
  followed: fc.record({ type: fc.constant('followed' as const), sessionId, by: maybe(word) }),
};

describe('a message between nodes is decoded as it was encoded', () => {
  it.each(Object.entries(messages))('%s', (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        expect(parseMessage(formatMessage(message))).toEqual(message);
      }),
    );
  });
});

describe('an unknown message is ignored', () => {
  it.each([
    ['of a newer version', '2 gone session\n'],
    ['of a newer kind', '1 dance session\n'],
    ['with nothing in it', ''],
    ['with no kind', '1'],
    ['a probe', '1 probe 7\n'],
    ['a check of nothing', '1 check\n'],
    ['a check of more streams than one may name', `1 check${' s p'.repeat(101)}\n`],
  ])('%s', (_, wire) => {
    expect(parseMessage(wire)).toBeUndefined();
  });

  it('never throws, whatever the message is', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (garbage, ours) => {
        parseMessage(ours ? `1 ${garbage}` : garbage);
      }),
    );
  });

  // A newer release may add words that an older one does not know.
  it('decodes a message with unknown additional words', () => {
    expect(parseMessage('1 gone session extra\n')).toEqual({ type: 'gone', sessionId: 'session' });
  });
});
