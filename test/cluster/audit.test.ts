/** What the event log says of requests whose node died. A process that is no node reads it. */
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { startNode } from '../rig/processes.js';
import type { NodeProcess } from '../rig/processes.js';
import type { SessionEvent } from '../../src/index.js';
import { stateAt } from '../../src/index.js';
import { observe } from '../../src/operator/index.js';
import { answers, RawClient } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { beginCall, type BeginArgs } from './dead-nodes/begin-call.js';

const LEASE_MS = 1500;

let nodes: NodeProcess[] = [];
let client: RawClient;

async function cluster(recovery: 'error' | 'rerun-idempotent' = 'error') {
  const prefix = uniquePrefix();
  const env = {
    ...{ REDIS_URL: redisUrl(), PREFIX: prefix, LEASE_MS: String(LEASE_MS), RECOVERY: recovery },
  };
  const script = new URL('dead-nodes/node.ts', import.meta.url);
  nodes = await Promise.all([0, 1, 2].map(() => startNode({ script, env })));
  client = new RawClient();
  const [a, b, c] = nodes;
  if (a === undefined || b === undefined || c === undefined) throw new Error('No nodes');
  await client.initialize(a.url, { capabilities: { elicitation: {} } });
  const observer = observe({ redis: redisUrl(), prefix });
  onTestFinished(() => observer.close());
  const id = client.sessionId ?? '';
  const all = async (): Promise<SessionEvent[]> => {
    const events: SessionEvent[] = [];
    for await (const event of observer.sessions.events(id)) events.push(event);
    return events;
  };
  /** Reads until an event of this type comes. */
  const live = async (type: SessionEvent['type']): Promise<SessionEvent[]> => {
    const events: SessionEvent[] = [];
    const signal = AbortSignal.timeout(20_000);
    for await (const event of observer.sessions.events(id, { follow: true, pollMs: 50, signal })) {
      events.push(event);
      if (event.type === type) break;
    }
    return events;
  };
  return { a, b, c, all, live };
}

afterEach(async () => {
  client.close();
  await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
});

const begin = (node: NodeProcess, tool: string, ...args: BeginArgs) =>
  beginCall(client, node, tool, ...args);

const isAnswerTo = (id: number) => (event: SessionEvent) =>
  event.type === 'message.sent' && event.method === undefined && event.requestId === id;

describe('a request whose node is killed', () => {
  it('is logged as failed once, at once, with the dead node and the node that noticed', async () => {
    const { a, b, c, all, live } = await cluster();
    const following = live('request.failed');
    const { id, sse } = await begin(a, 'count');
    a.kill('SIGKILL');
    await sse.ended;
    const cursor = sse.lastEventId ?? '';
    // Several nodes try to end it.
    const streams = await Promise.all(
      [b, c, b].map((node) => client.listen(node.url, { lastEventId: cursor })),
    );
    await Promise.all(streams.map((stream) => stream.ended));
    const failed = (await following).at(-1);
    expect(failed).toMatchObject({ type: 'request.failed', requestId: id, from: a.nodeId });
    expect([b.nodeId, c.nodeId]).toContain(failed?.nodeId);
    const events = await all();
    expect(events.filter(({ type }) => type === 'request.failed')).toEqual([failed]);
    const [answer, ...others] = events.filter(isAnswerTo(id));
    expect(others).toEqual([]);
    expect(answer?.message).toMatchObject({ error: { data: { reason: 'node_lost' } } });
    // The client gets the error first. The note is stored in the same step.
    const at = events.findIndex(isAnswerTo(id));
    expect(events[at + 1]).toEqual(failed);
    expect((await stateAt(events, events[at - 1]?.id)).openRequests).toMatchObject([
      { id, method: 'tools/call', nodeId: a.nodeId },
    ]);
    expect(await stateAt(events)).toMatchObject({ openRequests: [], complete: true });
  });

  it('is logged as run again, with both nodes and the times', async () => {
    const { a, b, all, live } = await cluster('rerun-idempotent');
    const following = live('request.recovered');
    const { id, sse } = await begin(a, 'recount', 6, 150, a.nodeId);
    a.kill('SIGKILL');
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    await resumed.next(answers(id), LEASE_MS + 8000);
    const recovered = (await following).at(-1);
    expect(recovered).toMatchObject({
      ...{ type: 'request.recovered', requestId: id, nodeId: b.nodeId, from: a.nodeId },
    });
    const events = await all();
    expect(events.filter(({ type }) => type.startsWith('request.'))).toEqual([recovered]);
    const at = events.findIndex((event) => event.id === recovered?.id);
    const runsOn = async (event: SessionEvent | undefined) =>
      (await stateAt(events, event?.id)).openRequests.map(({ nodeId }) => nodeId);
    expect(await runsOn(events[at - 1])).toEqual([a.nodeId]);
    expect(await runsOn(events[at])).toEqual([b.nodeId]);
    expect(await runsOn(events.at(-1))).toEqual([]);
    expect(events.filter(isAnswerTo(id))).toHaveLength(1);
    // The client came back, and that is told too.
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'stream.resumed', nodeId: b.nodeId }),
    );
  });
});

it('a late answer of a node that was only paused is not in the log', async () => {
  const { a, b, all } = await cluster();
  const { id, sse } = await begin(a, 'count');
  a.kill('SIGSTOP');
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  await resumed.next(answers(id), LEASE_MS + 4000);
  a.kill('SIGCONT');
  await expect
    .poll(async () => (await a.call<{ aborted: string[] }>('calls')).aborted, { timeout: 5000 })
    .toEqual([String(id)]);
  const events = await all();
  expect(events.filter(isAnswerTo(id))).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'request.failed')).toMatchObject([
    { requestId: id, nodeId: b.nodeId, from: a.nodeId },
  ]);
});

it('a call of a closing node is logged as failed by that node', async () => {
  const { a, b, all } = await cluster();
  const { id, sse } = await begin(a, 'count', 1000);
  await a.call('close', { drainMs: 200 });
  await sse.ended;
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  await resumed.next(answers(id));
  const failed = (await all()).filter(({ type }) => type === 'request.failed');
  expect(failed).toMatchObject([{ requestId: id, nodeId: a.nodeId }]);
});

it('a call that its client cancels is logged as cancelled, without an answer', async () => {
  const { a, b, all } = await cluster();
  const { id, sse } = await begin(a, 'count', 1000);
  await client.notify(b.url, 'notifications/cancelled', { requestId: id });
  await sse.ended;
  const events = await all();
  expect(events.filter(isAnswerTo(id))).toEqual([]);
  const [asked] = events.filter(({ method }) => method === 'tools/call');
  expect(events.filter(({ type }) => type === 'request.cancelled')).toMatchObject([
    { stream: asked?.stream, direction: 'out', message: undefined },
  ]);
  expect((await stateAt(events)).openRequests).toEqual([]);
});
