/** `affinity: 'owner'` when the owner is killed, paused or cut off: one successor, nothing run twice, nobody waits for ever. */
import { afterEach, describe, expect, it } from 'vitest';
import { startNode, type NodeProcess } from '../rig/processes.js';
import { answers, notification, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { resultText } from './support/cluster.js';
import { beginCall, type BeginArgs } from './dead-nodes/begin-call.js';

const LEASE_MS = 1500;

interface CallsOf {
  started: string[];
  aborted: string[];
}

let nodes: NodeProcess[] = [];
let client: RawClient;

async function cluster(more: Record<string, string> = {}) {
  const env = {
    REDIS_URL: redisUrl(),
    PREFIX: uniquePrefix(),
    LEASE_MS: String(LEASE_MS),
    RECOVERY: 'error',
    AFFINITY: 'owner',
    ...more,
  };
  const script = new URL('dead-nodes/node.ts', import.meta.url);
  nodes = await Promise.all([0, 1, 2].map(() => startNode({ script, env })));
  client = new RawClient();
  const [a, b, c] = nodes;
  if (a === undefined || b === undefined || c === undefined) throw new Error('No nodes');
  await client.initialize(a.url);
  return { a, b, c };
}

afterEach(async () => {
  client.close();
  await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
});

async function next(node: NodeProcess): Promise<number> {
  const answer = await client.request(node.url, 'tools/call', { name: 'next', arguments: {} });
  return Number(resultText(answer));
}

const begin = (node: NodeProcess, tool: string, ...args: BeginArgs) =>
  beginCall(client, node, tool, ...args);

describe('an owner that is killed', () => {
  it('loses its counter of 500 calls, and its one successor starts at zero', async () => {
    const { a, b, c } = await cluster();
    for (let count = 1; count <= 500; count += 1) {
      expect(await next([a, b, c][count % 3] as NodeProcess)).toBe(count);
    }
    a.kill('SIGKILL');
    const died = Date.now();
    // None of them was begun by the one that is dead, so none of them is lost.
    const counts = await Promise.all([b, c, b, c, b, c].map((node) => next(node)));
    expect(Date.now() - died).toBeLessThan(LEASE_MS + 4000);
    expect(counts.sort()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await next(b)).toBe(7);
    expect(await next(c)).toBe(8);
  });

  it('leaves an error to the clients of the calls that it had begun, on whichever node they are', async () => {
    const { a, b } = await cluster();
    const { id, sse } = await begin(b, 'count', 1000);
    a.kill('SIGKILL');
    const { message } = await sse.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
    expect(await next(b)).toBe(1);
  });

  it("leaves idempotent calls to its successor (recovery: 'rerun-idempotent')", async () => {
    const { a, b, c } = await cluster({ RECOVERY: 'rerun-idempotent' });
    const rerun = (node: NodeProcess) => begin(node, 'recount', 10, 100, a.nodeId);
    const [first, second] = await Promise.all([rerun(b), rerun(c)]);
    const other = await begin(c, 'count', 1000);
    a.kill('SIGKILL');
    for (const { id, sse } of [first, second]) {
      const { message } = await sse.next(answers(id), LEASE_MS + 8000);
      expect(resultText(message)).toBe('counted to 10 for nobody');
      const shown = sse.messages.filter(({ method }) => method === 'notifications/progress');
      expect(shown.map(({ params }) => params?.['progress'])).toEqual(
        Array.from({ length: 10 }, (_, at) => at + 1),
      );
    }
    const { message } = await other.sse.next(answers(other.id), LEASE_MS + 4000);
    expect(message?.error?.data).toMatchObject({ reason: 'node_lost' });
    const started = await Promise.all([b, c].map((node) => node.call<CallsOf>('calls')));
    const [atB, atC] = started.map((calls) => calls.started.sort());
    // One of them owns the session now, and has run both.
    expect([atB, atC].sort((x = [], y = []) => x.length - y.length)).toEqual([
      [],
      [String(first.id), String(second.id)].sort(),
    ]);
  });

  it('has calls that were cancelled before its death dropped by its successor', async () => {
    const { a, b, c } = await cluster();
    a.kill('SIGKILL');
    const id = client.nextId();
    const params = { name: 'count', arguments: { steps: 1, ms: 1 } };
    const { sse } = await client.post(b.url, request(id, 'tools/call', params));
    await client.notify(c.url, 'notifications/cancelled', { requestId: id });
    await sse.ended;
    expect(sse.messages).toEqual([]);
    expect(await next(c)).toBe(1);
    const calls = await Promise.all([b, c].map((node) => node.call<CallsOf>('calls')));
    expect(calls.map(({ started }) => started)).toEqual([[], []]);
  });

  it('has waiting calls begun by its successor, also for a client that lost its own node and resumed', async () => {
    const { a, b, c } = await cluster();
    a.kill('SIGKILL');
    const id = client.nextId();
    const params = { name: 'next', arguments: {} };
    const { sse } = await client.post(b.url, request(id, 'tools/call', params));
    await expect.poll(() => sse.lastEventId).toBeDefined();
    b.kill('SIGKILL');
    await sse.ended;
    const resumed = await client.listen(c.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id), LEASE_MS + 4000);
    expect(resultText(message)).toBe('1');
  });

  it('does not keep later notifications from the session', async () => {
    const { a, b, c } = await cluster();
    a.kill('SIGKILL');
    expect(await b.call('health')).toMatchObject({ status: 'ready' });
    (await client.post(b.url, notification('notifications/custom'))).expect(202);
    expect(await next(c)).toBe(1);
  });
});

describe('an owner that is paused for longer than its lease', () => {
  it('is no longer the owner, discards its replica, and its calls end with an error', async () => {
    const { a, b, c } = await cluster();
    expect(await next(c)).toBe(1);
    const { id, sse } = await begin(a, 'count', 1000);
    a.kill('SIGSTOP');
    expect(await next(b)).toBe(1);
    a.kill('SIGCONT');
    const { message } = await sse.next(answers(id), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: a.nodeId });
    await expect
      .poll(() => a.call<object>('health'), { timeout: 5000 })
      .toMatchObject({ sessions: 0, inFlight: 0 });
    await expect
      .poll(async () => (await a.call<CallsOf>('calls')).aborted, { timeout: 5000 })
      .toEqual([String(id)]);
    expect(await next(a)).toBe(2);
    expect(await next(c)).toBe(3);
  });

  it('does not run what it was sent meanwhile if its successor has run it', async () => {
    const { a, b } = await cluster();
    a.kill('SIGSTOP');
    const id = client.nextId();
    const params = { name: 'count', arguments: { steps: 1, ms: 1 } };
    const answer = await client.post(b.url, request(id, 'tools/call', params));
    expect(resultText(await answer.answer(id))).toBe('counted to 1 for nobody');
    a.kill('SIGCONT');
    await expect
      .poll(() => a.call<object>('health'), { timeout: 5000 })
      .toMatchObject({ sessions: 0, status: 'ready' });
    expect((await a.call<CallsOf>('calls')).started).toEqual([]);
    expect((await b.call<CallsOf>('calls')).started).toEqual([String(id)]);
  });

  it('stays the owner if the session was not used meanwhile', async () => {
    const { a, b } = await cluster();
    expect(await next(b)).toBe(1);
    a.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS * 1.5)); // the pause is what is tested
    a.kill('SIGCONT');
    expect(await next(b)).toBe(2);
  });
});
