import { afterEach, expect, it } from 'vitest';
import type { SseReader } from '../support/mcp-http.js';
import { RawClient } from '../support/mcp-http.js';
import { redisUrl } from '../support/redis-fixture.js';
import type { MeasuredCluster } from './measured/cluster.js';
import { seeded, startCluster } from './measured/cluster.js';

const EACH = 500;
const CUTS = 20;

let cluster: MeasuredCluster;
const client = new RawClient();

afterEach(async () => {
  client.close();
  await cluster.stop();
});

interface Said {
  sender: string;
  n: number;
}

function saidIn(streams: SseReader[]): Said[] {
  return streams
    .flatMap(({ messages }) => messages)
    .filter(({ method }) => method === 'notifications/message')
    .map(({ params }) => params?.data as Said);
}

/**
 * Elsewhere a stream that is resumed on a node which did not run `initialize` is deaf, sends that cross a reconnect are
 * lost, and ids that two nodes made independently replay the wrong messages.
 */
it(`shows ${2 * EACH} notifications of two nodes once each, in order, to a stream cut ${CUTS} times`, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 100_000);
  const random = seeded(seed);
  cluster = await startCluster(redisUrl(), 3);
  const [home, left, right] = cluster.nodes;
  await client.initialize(home?.url ?? '');
  const sessionId = client.sessionId ?? '';

  const streams: SseReader[] = [];
  const listen = async (): Promise<SseReader> => {
    const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)];
    const lastEventId = streams.at(-1)?.lastEventId;
    const stream = await client.listen(
      node?.url ?? '',
      lastEventId === undefined ? {} : { lastEventId },
    );
    streams.push(stream);
    return stream;
  };

  let current = await listen();
  const said = Promise.all([
    left?.call('say', { sessionId, sender: 'left', count: EACH }),
    right?.call('say', { sessionId, sender: 'right', count: EACH }),
  ]);
  for (let cut = 0; cut < CUTS; cut += 1) {
    const some = 1 + Math.floor(random() * 60);
    await Promise.race([current.first(some), said]);
    current.close(); // destroys the socket, whatever is on its way
    current = await listen();
  }
  await said;
  await expect
    .poll(() => saidIn(streams).length, { timeout: 15_000, message: `seed ${seed}` })
    .toBeGreaterThanOrEqual(2 * EACH);

  const shown = saidIn(streams);
  expect(shown.length, `seed ${seed}`).toBe(2 * EACH);
  const inOrder = Array.from({ length: EACH }, (_, at) => at + 1);
  for (const sender of ['left', 'right']) {
    const numbers = shown.filter((message) => message.sender === sender).map(({ n }) => n);
    expect(numbers, `seed ${seed}, ${sender}`).toEqual(inOrder);
  }
});
