import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { parseMessage } from '../../src/backplane/redis/commands/message-format.js';
import { BoundedMap } from '../../src/protocol/bounded-map.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * In V8, a part of a text refers to the whole text. A node that remembered the ids of ten thousand sessions also kept the
 * messages from which it had read them.
 */
it('keeping a name does not keep the message that contained it in memory', () => {
  const kept: string[] = [];
  const payload = 'x'.repeat(60_000);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < 500; at += 1) {
    const bytes = Buffer.from(
      `1 deliver session-${String(at).padStart(12, '0')}\n{"a":"${payload}"}`,
    );
    const message = parseMessage(bytes.toString());
    if (message?.type !== 'deliver') throw new Error('It is one');
    kept.push(message.sessionId);
  }
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000);
  expect(kept.at(-1)).toBe('session-000000000499');
});

it('a bounded map remembers the entries set last, and at most twice as many', () => {
  const map = new BoundedMap<number, number>(10);
  for (let key = 0; key < 100; key += 1) map.set(key, -key);
  const known = Array.from({ length: 100 }, (_, key) => key).filter((key) => map.has(key));
  expect(known.length).toBeLessThanOrEqual(20);
  expect(known.slice(-10)).toEqual([90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
  map.set(99, 1);
  expect(map.get(99)).toBe(1);
  expect(map.get(0)).toBeUndefined();
});
