import { expect, it } from 'vitest';
import type { RawClient, SseReader } from '../support/mcp-http.js';
import { callTool, logged, newClient, useCluster, type TestNode } from './support/cluster.js';

const cluster = useCluster();

const MB = 1024 * 1024;
/** Each small enough to be sent along with its wake-up, which is the harder case for the holder's memory. */
const MESSAGE_BYTES = 50_000;
const MESSAGES = 1_200;
/** What the kernel, the parser and the garbage collector may hold at any moment; far from the 60 MB that are sent. */
const MOST_GROWTH = 25 * MB;

interface Memory {
  heapUsed: number;
  external: number;
}

async function memoryOf(node: TestNode): Promise<number> {
  const { heapUsed, external } = await node.process.call<Memory>('memory');
  return heapUsed + external;
}

/** A client with a stream that it does not read, on `holder`; `sender` has a server that can say something. */
async function lazyClient(
  sender: TestNode,
  holder: TestNode,
): Promise<{ client: RawClient; stream: SseReader; sessionId: string }> {
  const client = newClient();
  await client.initialize(holder.url);
  await callTool(client, sender, 'echo', { text: '' });
  const stream = await client.listen(holder.url);
  await stream.comment();
  stream.pause();
  return { client, stream, sessionId: client.sessionId ?? '' };
}

/** Sends them all in six parts. Returns by how much the memory of `holder` was higher than before, at most. */
async function sendAll(sender: TestNode, holder: TestNode, sessionId: string): Promise<number> {
  const before = await memoryOf(holder);
  let most = 0;
  const count = MESSAGES / 6;
  for (let from = 0; from < MESSAGES; from += count) {
    await sender.call('push', { sessionId, from, count, as: 'big', bytes: MESSAGE_BYTES });
    most = Math.max(most, (await memoryOf(holder)) - before);
  }
  return most;
}

const numbersOf = (stream: SseReader): number[] =>
  logged(stream).map((data) => Number(/^big (\d+)/.exec(String(data))?.[1]));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

for (const where of ['another node', 'the same node']) {
  it(`60 MB from ${where} for a client that does not read cost no memory, and it gets them all when it reads`, async () => {
    const [holder, other] = await cluster.mount();
    const sender = where === 'another node' ? other : holder;
    const { client, stream, sessionId } = await lazyClient(sender, holder);
    expect(await sendAll(sender, holder, sessionId)).toBeLessThan(MOST_GROWTH);

    stream.resume();
    await stream.first(MESSAGES, 20_000);
    expect(numbersOf(stream)).toEqual(upTo(MESSAGES));
    (await client.delete(holder.url)).expect(200);
  });
}

// The twin: so it is the limit that keeps the memory small, and such a growth would be seen.
it('without the limit the same messages fill the memory', async () => {
  const [holder, sender] = await cluster.mount({ maxBufferedBytes: 1_000 * MB });
  const { client, sessionId } = await lazyClient(sender, holder);
  expect(await sendAll(sender, holder, sessionId)).toBeGreaterThan(1.5 * MOST_GROWTH);
  (await client.delete(holder.url)).expect(200);
});

it('a slow reader whose messages were trimmed is ended, and gets 400 when it resumes', async () => {
  const [holder, sender, third] = await cluster.mount({ retention: { maxEvents: 100 } });
  const { client, stream, sessionId } = await lazyClient(sender, holder);
  await sendAll(sender, holder, sessionId);
  stream.resume();
  expect(await stream.untilEnded()).toBe('end');

  const numbers = numbersOf(stream);
  expect(numbers.length).toBeGreaterThan(0);
  expect(numbers.length).toBeLessThan(MESSAGES - 100);
  expect(numbers).toEqual(upTo(numbers.length));
  const { lastEventId } = stream;
  const resumed = await client.get(third.url, lastEventId === undefined ? {} : { lastEventId });
  expect(resumed.expect(400).json()).toMatchObject({
    error: { message: expect.stringMatching(/no longer available/) as string },
  });
  // The session is none the worse for it: a GET without a cursor begins with what is left.
  const fresh = await client.listen(third.url);
  await fresh.next();
  expect(numbersOf(fresh)[0]).toBeGreaterThan(numbers.length);
  (await client.delete(holder.url)).expect(200);
});
