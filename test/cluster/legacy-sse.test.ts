/** HTTP+SSE on nodes as processes: the connection is on one node, and each POST goes to another. */
import { afterEach, describe, expect, it } from 'vitest';
import { startNode, type NodeProcess } from '../rig/processes.js';
import { connectLegacy } from '../support/legacy-client.js';
import { answers, notification, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { logged, newClient, useCluster, type TestNode } from './support/cluster.js';
import { killLate } from './support/leases.js';

describe('three nodes', () => {
  const cluster = useCluster();

  for (const affinity of ['any', 'owner'] as const) {
    it(`serve the official client, each POST on the next node; affinity ${affinity}`, async () => {
      const nodes = await cluster.mount({ affinity });
      let turn = 0;
      const postTo = (): string => (nodes[(turn += 1) % 3] as TestNode).url;
      const { client, call, heard, sessionId, posted } = await connectLegacy(
        `${nodes[0].url}/sse`,
        { postTo, sample: 'said' },
      );
      const ran = new Set<string>();
      for (let count = 0; count < 9; count += 1) {
        const { nodeId } = JSON.parse(await call('whoami')) as { nodeId: string };
        ran.add(nodeId);
      }
      expect(ran.size).toBe(affinity === 'any' ? 3 : 1);
      for (const node of nodes) {
        expect(node.nodeId).not.toBe('');
        expect(await call('elicit', { message: 'who?' })).toContain('answer to who?');
        expect(await call('sample', { text: 'x' })).toContain('said');
        expect(await call('survey', { count: 5 })).toContain('answer to question 4');
      }
      await client.setLoggingLevel('error');
      for (let count = 0; count < 3; count += 1) {
        await call('log', { level: 'info' });
        await call('log', { level: 'error', data: count });
      }
      expect(heard).toEqual([0, 1, 2]);
      const asked = nodes[2].call('request', { sessionId: sessionId(), method: 'ping' });
      expect(await asked).toEqual({});
      expect(new Set(posted)).toEqual(new Set([202]));
    });
  }

  it('60 MB from another node for a client that does not read use no memory of the holder', async () => {
    const [holder, sender] = await cluster.mount();
    const client = newClient();
    const stream = await client.listen(`${holder.url}/sse`);
    const sessionId = String((await stream.next()).data.split('sessionId=')[1]);
    const say = `${sender.url}/messages?sessionId=${sessionId}`;
    const echo = { name: 'echo', arguments: { text: '' } };
    (await client.post(say, request(1, 'tools/call', echo))).expect(202);
    await stream.next(answers(1));
    stream.pause();
    const memory = async (): Promise<number> => {
      const { heapUsed, external } = await holder.call('memory');
      return heapUsed + external;
    };
    const before = await memory();
    let most = 0;
    for (let from = 0; from < 1_200; from += 200) {
      const count = 200;
      await sender.call('push', { sessionId, from, count, as: 'big', bytes: 50_000 });
      most = Math.max(most, (await memory()) - before);
    }
    expect(most).toBeLessThan(25 * 1024 * 1024);
    stream.resume();
    await stream.first(2 + 1_200, 20_000);
    const numbers = logged(stream).map((data) => Number(/^big (\d+)/.exec(String(data))?.[1]));
    expect(numbers).toEqual(Array.from({ length: 1_200 }, (_, at) => at));
  });
});

const LEASE_MS = 1500;

interface CallsOf {
  started: string[];
  aborted: string[];
}

describe('a node that dies', () => {
  let nodes: NodeProcess[] = [];
  let client: RawClient;

  afterEach(async () => {
    client.close();
    await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
  });

  /** The connection is at `a`; `say` is where to POST to on each node. */
  async function cluster(more: Record<string, string> = {}) {
    const prefix = uniquePrefix();
    const env = {
      ...{ REDIS_URL: redisUrl(), PREFIX: prefix, LEASE_MS: String(LEASE_MS) },
      ...{ RECOVERY: 'error', ...more },
    };
    const script = new URL('dead-nodes/node.ts', import.meta.url);
    nodes = await Promise.all([0, 1, 2].map(() => startNode({ script, env })));
    client = new RawClient();
    const [a, b, c] = nodes;
    if (a === undefined || b === undefined || c === undefined) throw new Error('No nodes');
    const stream = await client.listen(`${a.url}/sse`);
    const { data } = await stream.next();
    const say = (node: NodeProcess): string => `${node.url}${data}`;
    const params = {
      ...{ protocolVersion: '2024-11-05', clientInfo: { name: 'raw', version: '1' } },
      capabilities: { elicitation: {} },
    };
    (await client.post(say(c), request('i', 'initialize', params))).expect(202);
    await stream.next(answers('i'));
    (await client.post(say(c), notification('notifications/initialized'))).expect(202);
    /** Starts a call at a node, and resolves when its first progress is shown: of earlier calls there may be some left. */
    const begin = async (
      node: NodeProcess,
      id: number,
      tool: string,
      steps = 1000,
      stuckOn = '',
    ) => {
      const given = { steps, ms: 100, stuckOn };
      const args = { name: tool, arguments: given, _meta: { progressToken: `p${id}` } };
      (await client.post(say(node), request(id, 'tools/call', args))).expect(202);
      await stream.next(({ message }) => message?.params?.['progressToken'] === `p${id}`);
    };
    return { a, b, c, stream, say, begin, prefix };
  }

  it('leaves an error on the connection for each of its calls, within its lease and two seconds', async () => {
    const { b, c, stream, say, begin, prefix } = await cluster();
    await begin(b, 1, 'count', 1000);
    await begin(b, 2, 'count', 1000);
    await begin(c, 3, 'count', 60);
    const died = await killLate(b, prefix, LEASE_MS);
    for (const id of [1, 2]) {
      const { message } = await stream.next(answers(id), LEASE_MS + 4000);
      expect(message?.error).toEqual({
        ...{ code: -32000, message: 'The node that ran this request is gone' },
        data: { reason: 'node_lost', node: b.nodeId },
      });
    }
    expect(Date.now() - died).toBeLessThan(LEASE_MS + 2000);
    // Others are none the worse for it, and the ids are free.
    expect((await stream.next(answers(3))).message).toMatchObject({ id: 3, result: {} });
    await begin(c, 1, 'count', 1);
    expect((await stream.next(answers(1))).message).toMatchObject({ result: {} });
    expect(stream.messages.filter(({ id, method }) => id === 2 && !method)).toHaveLength(1);
    (await client.post(say(c), notification('notifications/roots/list_changed'))).expect(202);
  });

  it('has its idempotent calls run again by the node with the connection', async () => {
    const { a, b, stream, begin } = await cluster({ RECOVERY: 'rerun-idempotent' });
    await begin(b, 1, 'recount', 20, b.nodeId);
    await begin(b, 2, 'count', 200);
    b.kill('SIGKILL');
    const { message } = await stream.next(answers(2), LEASE_MS + 4000);
    expect(message?.error?.data).toMatchObject({ reason: 'node_lost' });
    const again = await stream.next(answers(1), LEASE_MS + 6000);
    expect(again.message?.result).toMatchObject({
      content: [{ text: 'counted to 20 for nobody' }],
    });
    expect((await a.call<CallsOf>('calls')).started).toEqual(['1']);
    const progress = stream.messages
      .filter(({ params }) => params?.['progressToken'] === 'p1')
      .map(({ params }) => params?.['progress']);
    expect(progress).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  });

  it('and was only paused has its late answer dropped', async () => {
    const { b, stream, begin } = await cluster();
    await begin(b, 1, 'count');
    b.kill('SIGSTOP');
    const { message } = await stream.next(answers(1), LEASE_MS + 4000);
    expect(message?.error?.data).toMatchObject({ reason: 'node_lost' });
    b.kill('SIGCONT');
    await begin(b, 2, 'count', 30);
    await stream.next(answers(2));
    expect(stream.messages.filter(({ id, method }) => id === 1 && !method)).toHaveLength(1);
  });

  it('and owned the session leaves an error, and one that only passed a call on leaves none', async () => {
    const { a, b, c, stream, say, begin } = await cluster({ AFFINITY: 'owner' });
    await begin(b, 1, 'count', 60); // c answered `initialize`, so it is the owner
    b.kill('SIGKILL');
    expect((await stream.next(answers(1), 12_000)).message).toMatchObject({ result: {} });
    await begin(a, 2, 'count', 1000);
    c.kill('SIGKILL');
    const { message } = await stream.next(answers(2), LEASE_MS + 4000);
    expect(message?.error?.data).toEqual({ reason: 'node_lost', node: c.nodeId });
    (await client.post(say(a), request(3, 'tools/call', { name: 'next', arguments: {} }))).expect(
      202,
    );
    expect((await stream.next(answers(3))).message).toMatchObject({ result: {} });
  });

  it('and held the connection ends the session, and a new connection is served', async () => {
    const { a, b, stream } = await cluster();
    a.kill('SIGKILL');
    await stream.ended;
    const fresh = await client.listen(`${b.url}/sse`);
    const { data } = await fresh.next();
    const call = request(1, 'tools/call', { name: 'next', arguments: {} });
    (await client.post(`${b.url}${data}`, call)).expect(202);
    expect((await fresh.next(answers(1))).message).toMatchObject({ result: {} });
  });
});
