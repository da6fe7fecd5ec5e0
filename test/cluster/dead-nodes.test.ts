/**
 * What becomes of a request whose node dies, is paused, or is closed in the middle of it. Elsewhere the client waits for
 * ever (seen in the reference relay for Redis and in a resumable-stream package).
 */
import { afterEach, describe, expect, it } from 'vitest';
import { startNode } from '../rig/processes.js';
import type { NodeProcess } from '../rig/processes.js';
import type { SseReader } from '../support/mcp-http.js';
import { answers, hasMethod, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { killLate } from './support/leases.js';
import { beginCall, type BeginArgs } from './dead-nodes/begin-call.js';

const LEASE_MS = 1500;

let nodes: NodeProcess[] = [];
let client: RawClient;

async function cluster(recovery: 'error' | 'rerun-idempotent' = 'error', count = 3) {
  const prefix = uniquePrefix();
  const env = {
    REDIS_URL: redisUrl(),
    PREFIX: prefix,
    LEASE_MS: String(LEASE_MS),
    RECOVERY: recovery,
  };
  const script = new URL('dead-nodes/node.ts', import.meta.url);
  nodes = await Promise.all(Array.from({ length: count }, () => startNode({ script, env })));
  client = new RawClient();
  const [a, b, c] = nodes;
  if (a === undefined || b === undefined) throw new Error('No nodes');
  await client.initialize(a.url, { capabilities: { elicitation: {} } });
  return { a, b, c: c ?? b, prefix };
}

afterEach(async () => {
  client.close();
  await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
});

const begin = (node: NodeProcess, tool: string, ...args: BeginArgs) =>
  beginCall(client, node, tool, ...args);

function progressOf(...streams: SseReader[]): number[] {
  return streams
    .flatMap(({ messages }) => messages)
    .filter(({ method }) => method === 'notifications/progress')
    .map(({ params }) => params?.progress as number);
}

describe('a node that is killed in the middle of a call', () => {
  it('leaves an error to a client that resumes on another node, within its lease and two seconds', async () => {
    const { a, b, prefix } = await cluster();
    const { id, sse } = await begin(a, 'count');
    const died = await killLate(a, prefix, LEASE_MS);
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(Date.now() - died).toBeLessThan(LEASE_MS + 2000);
    expect(message?.error).toEqual({
      code: -32000,
      message: 'The node that ran this request is gone',
      data: { reason: 'node_lost', node: a.nodeId },
    });
    expect(await resumed.ended.then(() => resumed.endedBy)).toBe('end');
  });

  it('leaves an error to a client that follows the call on another node', async () => {
    const { a, b } = await cluster();
    const { id, sse } = await begin(a, 'count');
    sse.close();
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    await resumed.next(hasMethod('notifications/progress'));
    a.kill('SIGKILL');
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
  });

  it('leaves one error, although several nodes try to claim its call', async () => {
    const { a, b, c } = await cluster();
    const { id, sse } = await begin(a, 'count');
    a.kill('SIGKILL');
    await sse.ended;
    const cursor = sse.lastEventId ?? '';
    const streams = await Promise.all(
      [b, c, b, c].map((node) => client.listen(node.url, { lastEventId: cursor })),
    );
    await Promise.all(streams.map((stream) => stream.ended));
    const shown = streams.flatMap((stream) =>
      stream.messages.filter((message) => message.id === id),
    );
    // One holder at a time: it has been shown to the one that held the stream then.
    expect(shown).toHaveLength(1);
    const late = await client.get(b.url, { lastEventId: cursor });
    const again = late.sse;
    await again.ended;
    expect(again.messages.filter((message) => message.id === id)).toHaveLength(1);
  });

  it('frees the id of its request, although no client follows it', async () => {
    const { a, b } = await cluster();
    const { id, sse } = await begin(a, 'count');
    a.kill('SIGKILL');
    await sse.ended;
    const again = request(id, 'tools/list');
    await expect
      .poll(async () => (await client.post(b.url, again)).status, { timeout: LEASE_MS + 4000 })
      .toBe(200);
  });

  it('does not keep the answer to its own question from getting 202', async () => {
    const { a, b } = await cluster();
    const id = client.nextId();
    const { sse } = await client.post(
      a.url,
      request(id, 'tools/call', { name: 'ask', arguments: {} }),
    );
    const { message } = await sse.next(hasMethod('elicitation/create'));
    a.kill('SIGKILL');
    await client.respond(b.url, message?.id ?? '', { action: 'accept', content: {} });
  });
});

describe("recovery: 'rerun-idempotent'", () => {
  it('runs an idempotent tool again, shows no progress twice, and names the client that resumed', async () => {
    const { a, b } = await cluster('rerun-idempotent');
    const { id, sse } = await begin(a, 'recount', 10, 150, a.nodeId);
    await sse.next(hasMethod('notifications/progress'));
    a.kill('SIGKILL');
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), LEASE_MS + 8000);
    expect(message?.result?.content).toEqual([{ type: 'text', text: 'counted to 10 for nobody' }]);
    expect(progressOf(sse, resumed)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect((await b.call<{ started: string[] }>('calls')).started).toEqual([String(id)]);
  });

  it('does not run a tool again that is not marked idempotent', async () => {
    const { a, b } = await cluster('rerun-idempotent');
    const { id, sse } = await begin(a, 'count');
    a.kill('SIGKILL');
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
    expect((await b.call<{ started: string[] }>('calls')).started).toEqual([]);
  });

  it('does not ask the client a second time', async () => {
    const { a, b } = await cluster('rerun-idempotent');
    const id = client.nextId();
    const { sse } = await client.post(
      a.url,
      request(id, 'tools/call', { name: 'ask', arguments: {} }),
    );
    await sse.next(hasMethod('elicitation/create'));
    a.kill('SIGKILL');
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
    expect(resumed.messages.filter(({ method }) => method === 'elicitation/create')).toEqual([]);
  });
});

describe('a node that is paused for longer than its lease', () => {
  it('has its late answer dropped, its handler aborted and its connection closed when it goes on', async () => {
    const { a, b } = await cluster();
    const listener = await client.listen(a.url);
    const { id, sse } = await begin(a, 'count');
    a.kill('SIGSTOP');
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    await client.listen(b.url);
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
    a.kill('SIGCONT');
    await Promise.all([sse.ended, listener.ended]);
    await expect
      .poll(async () => (await a.call<{ aborted: string[] }>('calls')).aborted, { timeout: 5000 })
      .toEqual([String(id)]);
    const health = await a.call<{ streams: number; inFlight: number }>('health');
    expect(health).toMatchObject({ streams: 0, inFlight: 0 });
    // Nothing of the answer is on the stream: replayed from the start, the request ends once.
    const replay = await client.listen(b.url, { lastEventId: sse.primings[0]?.id ?? '' });
    await replay.ended;
    expect(replay.messages.filter((shown) => shown.id === id)).toHaveLength(1);
  });
});

describe('a node that is closed', () => {
  it('sends its clients to other nodes, where their calls go on', async () => {
    const { a, b } = await cluster();
    const { id, sse } = await begin(a, 'count', 25);
    const closing = a.call<number>('close', { drainMs: 10_000 });
    await sse.ended;
    expect(sse.retries.length).toBeGreaterThan(0);
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id));
    expect(message?.result).toBeDefined();
    expect(progressOf(sse, resumed)).toEqual(Array.from({ length: 25 }, (_, at) => at + 1));
    expect(await closing).toBeLessThan(10_000);
  });

  it('answers as before until it has closed, and then with 503', async () => {
    const { a } = await cluster();
    const { sse } = await begin(a, 'count', 25);
    const closing = a.call<number>('close', { drainMs: 10_000 });
    await sse.ended;
    expect((await client.request(a.url, 'tools/list')).result).toBeDefined();
    await closing;
    const refused = await client.post(a.url, request(client.nextId(), 'tools/list'));
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBeDefined();
  });

  it('ends what still runs after `drainMs` at once', async () => {
    const { a, b } = await cluster();
    const { id, sse } = await begin(a, 'count', 1000);
    const closing = a.call<number>('close', { drainMs: 500 });
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), 3000);
    expect(message?.error).toEqual({
      code: -32000,
      message: 'The node that ran this request was closed',
      data: { reason: 'node_closed' },
    });
    expect(await closing).toBeLessThan(2500);
  });

  it('leaves idempotent calls to the node that its client has come to, at once', async () => {
    const { a, b } = await cluster('rerun-idempotent');
    const { id, sse } = await begin(a, 'recount', 8, 200, a.nodeId);
    const closing = a.call<number>('close', { drainMs: 500 });
    await sse.ended;
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), 10_000);
    expect(message?.result?.content).toEqual([{ type: 'text', text: 'counted to 8 for nobody' }]);
    expect(progressOf(sse, resumed)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await closing;
  });
});
