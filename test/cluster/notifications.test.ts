import { expect, it, onTestFinished } from 'vitest';
import { callTool, newClient, useCluster, type TestNode } from './support/cluster.js';
import { readUntilCut, type Received } from './support/cut-reader.js';
import { seededRandom } from './support/random.js';

const cluster = useCluster();

const CUTS = 20;
const PER_SENDER = 500;
/** Two senders have sent more than this by every cut, so no connection waits for bytes that do not come. */
const MOST_BYTES_PER_LEG = 5_000;

interface Event {
  direction: 'in' | 'out';
  stream?: string;
  message?: { params?: { data?: unknown } };
}

/** The standalone stream as the session's log has it. */
async function standaloneLog(node: TestNode, sessionId: string): Promise<unknown[]> {
  const events = (await node.call('events', { sessionId })) as Event[];
  return events
    .filter(({ direction, stream }) => direction === 'out' && stream === 'g')
    .map(({ message }) => message?.params?.data);
}

it('1,000 notifications from two other nodes reach a GET stream once each and in order, though it is cut 20 times', async () => {
  const random = seededRandom();
  const nodes = await cluster.mount();
  const [born, ...senders] = nodes;
  const client = newClient();
  await client.initialize(born.url);
  const sessionId = client.sessionId ?? '';
  // So that each has a replica that can say something.
  for (const node of senders) await callTool(client, node, 'echo', { text: '' });

  const names = ['b', 'c'];
  let sending = Promise.resolve<unknown>(undefined);
  let sent = 0;
  const sendMore = (): void => {
    const from = sent;
    const count = Math.ceil((PER_SENDER - from) / (CUTS + 1 - cuts));
    sent += count;
    sending = sending.then(() =>
      Promise.all(
        senders.map((node, at) =>
          node.call('push', { sessionId, from, count, as: names[at] ?? '' }),
        ),
      ),
    );
  };

  const received: Received[] = [];
  let lastEventId: string | undefined;
  let cuts = 0;
  const resumedOn = new Set<string>();
  for (; cuts < CUTS; cuts++) {
    sendMore();
    // Chance alone leaves one of the nodes out in one run of a thousand.
    const node = nodes[cuts] ?? random.pick(nodes);
    resumedOn.add(node.nodeId);
    // Without a cursor a client is shown what no earlier connection had: what was lost on the way is lost to it then. So
    // the first connection lives until its priming event is complete.
    const bytes = random.int(cuts === 0 ? 200 : 1, MOST_BYTES_PER_LEG);
    const leave = random.int(1, 4) === 1;
    const leg = await readUntilCut(node.url, client, { lastEventId, bytes, leave });
    onTestFinished(leg.close);
    received.push(...leg.received);
    ({ lastEventId } = leg);
  }
  sendMore();
  await sending;
  expect(sent).toBe(PER_SENDER);
  const rest = await client.listen(random.pick(nodes).url, {
    ...(lastEventId !== undefined && { lastEventId }),
  });
  const missing = 2 * PER_SENDER - received.length;
  const last = await rest.first(missing);
  // One more, and nothing may come in between: a repeat would be there by then.
  await born.call('notify', { sessionId, data: 'the end' });
  const all = await rest.first(missing + 1);
  const shown = [
    ...received.map(({ data }) => data),
    ...all.map(({ message }) => message?.params?.['data']),
  ];

  expect(resumedOn.size, 'nodes that the stream was on').toBe(3);
  expect(last).toHaveLength(missing);
  for (const name of names) {
    const own = shown.filter((data) => String(data).startsWith(`${name} `));
    expect(own).toEqual(Array.from({ length: PER_SENDER }, (_, at) => `${name} ${at}`));
  }
  expect(shown).toEqual(await standaloneLog(born, sessionId));
  const ids = [...received.map(({ id }) => id), ...all.map(({ id }) => id)];
  expect(new Set(ids).size).toBe(2 * PER_SENDER + 1);
});
