/**
 * Feeds the readers for servers behind HTTP with broken input, which is drawn from seeds. `npm run fuzz -- --minutes 10`
 * runs it for longer.
 */
import { EventStreamReader } from '../../src/intercept/http/event-stream.js';
import { Failure } from '../../src/intercept/failure.js';
import { marked, unmarked } from '../../src/intercept/private-ids.js';
import { messageOf, messagesOf } from '../../src/intercept/incoming-messages.js';

/** How long one input may take. */
const MOST_MS = 1_000;

const VALUES = [
  ...[
    'null',
    '[]',
    '{}',
    '1e999',
    '-0',
    '""',
    '"\\ud800"',
    '{"toString":1}',
    '{"__proto__":{"x":1}}',
  ],
  ...[
    '['.repeat(6000) + ']'.repeat(6000),
    '{"a":'.repeat(2000),
    `"${'x'.repeat(5000)}"`,
    '9007199254740993',
  ],
];
const SEEDS = [
  '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"progressToken":2}}}',
  '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
  '{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"x"}]}}',
  '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}',
];
const FIELDS = [
  'data: ',
  'data',
  'id: ',
  'id',
  'event: ',
  'retry: ',
  ': ',
  '\uFEFF',
  'what: ',
  '\0',
];
const ENDS = ['\n', '\r', '\r\n', '\n\n', '\r\r', ''];

/** Returns random numbers (mulberry32), which are the same for the same seed on every machine. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export type Random = ReturnType<typeof randomOf>;

export const oneOf = <T>(random: Random, list: readonly T[]): T => list[random(list.length)] as T;

/** Returns a message of which a part was replaced, repeated or cut off. */
export function mutated(random: Random): string {
  let text = oneOf(random, SEEDS);
  for (let times = random(4); times > 0; times -= 1) {
    const at = random(text.length);
    const end = at + random(12);
    const value = oneOf(random, [...VALUES, text.slice(at, end).repeat(random(50)), '']);
    text = text.slice(0, at) + value + text.slice(end);
  }
  // Put a value in the place of another one, so that the result is still JSON.
  if (random(2) === 0)
    text = oneOf(random, SEEDS).replace(/1|2|"a"|null/, () => oneOf(random, VALUES));
  return random(8) === 0 ? `[${text},${oneOf(random, SEEDS)}]` : text;
}

/** Runs one input. Throws if a reader throws an unexpected error, or takes too long. */
export function fuzzOnce(seed: number): void {
  const random = randomOf(seed);
  const began = performance.now();
  expectFailure(() => messagesOf(mutated(random)));
  const place = { lastEventId: undefined, retryMs: undefined };
  let held = 0;
  const reader = new EventStreamReader(
    place,
    ({ data }) => {
      const message = messageOf(data);
      if (message === undefined) return;
      const known = marked(message, 0);
      JSON.stringify(known);
      unmarked(known, 0);
    },
    (bytes) => (held = bytes),
  );
  let fed = 0;
  expectFailure(() => {
    for (let times = random(60); times > 0; times -= 1) {
      const text =
        oneOf(random, FIELDS) + (random(2) === 0 ? mutated(random) : '') + oneOf(random, ENDS);
      const cut = random(text.length + 1);
      for (const piece of [text.slice(0, cut), text.slice(cut)]) {
        fed += Buffer.byteLength(piece) + 64;
        reader.feed(piece);
      }
    }
  });
  if (held > 2 * fed + 1024) throw new Error(`${held} bytes are held of ${fed}`);
  const took = performance.now() - began;
  if (took > MOST_MS) throw new Error(`it took ${took} ms`);
}

function expectFailure(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}
