import { AggregationTemporality, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { expect, it } from 'vitest';
import type { AnynodeOptions, Backplane } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { telemetry } from '../../src/telemetry/index.js';
import { newGate } from '../integration/support/gate.js';
import type { Tools } from '../integration/support/scripted-server.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

class TestReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

interface Point {
  attributes: Record<string, unknown>;
  value: number | { count: number; sum?: number; buckets: { boundaries: number[] } };
}

/** Meters in memory. `points` collects what a metric has now. */
function meters(temporality = AggregationTemporality.CUMULATIVE) {
  const reader = new TestReader({ aggregationTemporalitySelector: () => temporality });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const all = async () => {
    const { resourceMetrics } = await reader.collect();
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  };
  const points = async (name: string): Promise<Point[]> => {
    const found = (await all()).find(({ descriptor }) => descriptor.name === name);
    return (found?.dataPoints ?? []) as unknown as Point[];
  };
  return { telemetry: telemetry({ meterProvider }), all, points };
}

const calling = (id: number, name: string) => request(id, 'tools/call', { name, arguments: {} });

it('measures requests by their outcome', async () => {
  const { points, all, ...given } = meters();
  const { url, mcp } = await startNode({
    ...given,
    tools: {
      work: () => 'done',
      failing: () => ({ isError: true, content: [] }),
    },
  });
  const { client, sessionId } = await openSession(url);
  for (const [at, name] of ['work', 'made-up', 'made-up', 'failing', 'work'].entries()) {
    await (await client.post(url, calling(at + 2, name))).answer(at + 2);
  }
  const calls = (await points('mcp.server.operation.duration')).filter(
    ({ attributes }) => attributes['mcp.method.name'] === 'tools/call',
  );
  expect(
    calls.map(({ attributes, value }) => [
      attributes['gen_ai.tool.name'],
      attributes['error.type'],
      typeof value === 'object' && value.count,
    ]),
  ).toEqual([
    ['work', undefined, 2],
    ['made-up', '-32603', 2],
    ['failing', 'tool_error', 1],
  ]);
  const [first] = calls;
  expect(typeof first?.value === 'object' && first.value.buckets.boundaries).toEqual([
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300,
  ]);
  await client.delete(url);
  const [session] = await points('mcp.server.session.duration');
  expect(session?.attributes['mcp.protocol.version']).toBe('2025-11-25');
  // Ids of sessions and requests are on no metric, and each point names its node.
  const everything = (await all()).flatMap(({ dataPoints }) => dataPoints as unknown as Point[]);
  expect(JSON.stringify(everything)).not.toContain(sessionId);
  expect(everything.map(({ attributes }) => attributes['service.instance.id'])).toEqual(
    everything.map(() => mcp.nodeId),
  );
});

// A tool that only ever failed was `_OTHER`, although such a tool is what the metric is looked at for.
it('names tools that have failed up to a limit, and tools that work beyond it', async () => {
  const { telemetry: given, points } = meters();
  const none = (): number => 0;
  const counts = { sessions: none, replicas: none, streams: none, requests: none };
  const node = given.observe({ nodeId: 'n', bufferedBytes: none, ...counts });
  const call = (id: number, name: string, isError: boolean): void => {
    const made = { jsonrpc: '2.0' as const, id, method: 'tools/call', params: { name } };
    node.requestArrived('s', made, 'session', { headers: {}, httpVersion: '1.1' });
    node.requestEnded({ stream: 's', id }, { jsonrpc: '2.0', id, result: { isError } });
  };
  const madeUp = Array.from({ length: 102 }, (_, at) => `made-up-${at}`);
  for (const [id, name] of madeUp.entries()) call(id, name, true);
  call(1000, 'works', false);
  const names = (await points('mcp.server.operation.duration')).map(
    ({ attributes }) => attributes['gen_ai.tool.name'],
  );
  expect(names).toEqual([...madeUp.slice(0, 100), '_OTHER', 'works']);
});

// Each node had missed a wake-up as soon as it had started, because its first subscription counted as one that had been lost.
it('counts wake-ups that may be lost, but not before the node listens', async () => {
  const { telemetry: given, points } = meters();
  const inner = memoryBackplane();
  let lost = (): void => undefined;
  const backplane: Backplane = {
    join: (options) => {
      lost = () => options.onLost();
      return inner.join(options);
    },
  };
  await startNode({ telemetry: given, backplane });
  const missed = async () => (await points('anynode.wakeups.missed')).map(({ value }) => value);
  lost();
  expect(await missed()).toEqual([0]);
  lost();
  expect(await missed()).toEqual([1]);
});

it('measures what nodes do for each other, and counts refusals', async () => {
  const backplane = memoryBackplane();
  const shared = { backplane, affinity: 'owner' as const, tools: { work: () => 'done' } };
  const [onA, onB] = [meters(), meters()];
  const a = await startNode({ ...shared, telemetry: onA.telemetry });
  const b = await startNode({ ...shared, telemetry: onB.telemetry });
  const { client } = await openSession(a.url);
  await (await client.post(b.url, calling(2, 'work'))).answer(2);
  (await client.post(b.url, { ...calling(3, 'work'), jsonrpc: '1.0' } as never)).expect(400);

  const countOf = async (name: string, on = onB) =>
    (await on.points(name)).map(({ value }) => (typeof value === 'object' ? value.count : value));
  expect(await countOf('anynode.owner_hop.duration')).toEqual([1]);
  const [lag] = await onB.points('anynode.delivery.lag');
  expect(lag?.attributes.path).toBe('wake');
  expect(await countOf('anynode.fenced')).toEqual([0]);
  expect(await countOf('anynode.replicas', onA)).toEqual([1]);
  expect(await countOf('anynode.replicas')).toEqual([0]);
  const [refusal] = await onB.points('anynode.refusals');
  expect(refusal).toMatchObject({
    attributes: { limit: 'invalid_message', status: '400' },
    value: 1,
  });
  const operations = (await onB.points('anynode.backplane.operation.duration')).map(
    ({ attributes }) => attributes.operation,
  );
  expect(operations).toEqual(expect.arrayContaining(['commit', 'send']));
  // The node that ran it has measured the call, and the other one has not.
  const names = async (on: ReturnType<typeof meters>) =>
    (await on.points('mcp.server.operation.duration')).map(
      ({ attributes }) => attributes['mcp.method.name'],
    );
  expect(await names(onA)).toContain('tools/call');
  expect(await names(onB)).not.toContain('tools/call');
  await b.mcp.close({ drainMs: 0 });
  expect(await countOf('anynode.drain.duration')).toEqual([1]);
});

// The DELETE waited for the age of the session first, and twice as long as others while the backplane was away.
it('lets no DELETE wait for the age of its session', async () => {
  const { points, telemetry: given } = meters();
  const store = memoryBackplane();
  const gate = newGate();
  let isSlow = false;
  const slow: Backplane = {
    join(options) {
      const joined = store.join(options);
      const load = joined.load.bind(joined);
      joined.load = async (id) => {
        const record = await load(id);
        if (isSlow) await gate.opened;
        return record;
      };
      return joined;
    },
  };
  const { url } = await startNode({ telemetry: given, backplane: slow });
  const { client } = await openSession(url);
  isSlow = true;
  const headers = { 'mcp-session-id': '0123456789abcdef0123456789abcdef' };
  expect((await client.delete(url, { headers })).status).toBe(404);
  expect((await client.delete(url)).status).toBe(200);
  expect(await points('mcp.server.session.duration')).toEqual([]);
  gate.open();
  await expect.poll(() => points('mcp.server.session.duration')).toHaveLength(1);
});

it('reads nothing of a session for its DELETE without telemetry', async () => {
  const reads: string[] = [];
  const backplane = wrappedBackplane(memoryBackplane(), (joined) => ({
    load: (id) => {
      reads.push('load');
      return joined.load(id);
    },
    timeOf: (id) => {
      reads.push('timeOf');
      return joined.timeOf(id);
    },
  }));
  const principal: AnynodeOptions['principal'] = (req) => String(req.headers['x-user']);
  const { url } = await startNode({ backplane, principal });
  const { client } = await openSession(url, { headers: { 'x-user': 'alice' } });
  reads.length = 0;
  expect((await client.delete(url, { headers: { 'x-user': 'bob' } })).status).toBe(404);
  expect((await client.delete(url)).status).toBe(200);
  expect(reads).toEqual([]);
});

// Bug: a client was not counted if the log was trimmed between the two reads of its resume.
it('counts a client that is refused because the log was trimmed while it resumes', async () => {
  const { points, telemetry: given } = meters();
  let beforeRead: (() => Promise<void>) | undefined;
  const backplane = wrappedBackplane(memoryBackplane(), (joined) => ({
    read: async (asked) => {
      const trim = beforeRead;
      beforeRead = undefined;
      await trim?.();
      return joined.read(asked);
    },
  }));
  const tools: Tools = {
    talk: async ({ extra }) => {
      const params = { level: 'info' as const, data: 'x' };
      await extra.sendNotification({ method: 'notifications/message', params });
      return 'done';
    },
  };
  const retention = { maxEvents: 20 };
  const { url } = await startNode({ telemetry: given, backplane, tools, retention });
  const { client } = await openSession(url);
  const { sse } = await client.post(url, calling(2, 'talk'));
  await sse.untilEnded();
  beforeRead = async () => {
    for (let id = 3; id < 13; id += 1)
      await (await client.post(url, calling(id, 'talk'))).answer(id);
  };
  const { status } = await client.get(url, { lastEventId: sse.events[0]?.id ?? '' });
  expect(status).toBe(400);
  expect(await points('anynode.log.trimmed')).toMatchObject([{ value: 1 }]);
});

const GAUGE = 'anynode.sessions';

// The meter kept each node that had closed, with all of its parts.
it('observes a closed node no more', async () => {
  // A cumulative reader would repeat the last value for ever.
  const { points, telemetry: given } = meters(AggregationTemporality.DELTA);
  const nodes = [await startNode({ telemetry: given }), await startNode({ telemetry: given })];
  expect(await points(GAUGE)).toHaveLength(2);
  await nodes[0]?.mcp.close({ drainMs: 0 });
  const left = (await points(GAUGE)).map(({ attributes }) => attributes['service.instance.id']);
  expect(left).toEqual([nodes[1]?.mcp.nodeId]);
});

it('leaves nothing behind of a node that cannot be made', async () => {
  const held = new Set<unknown>();
  const gauge = {
    addCallback: (callback: unknown) => held.add(callback),
    removeCallback: (callback: unknown) => held.delete(callback),
  };
  const meter = {
    createHistogram: () => ({}),
    createCounter: () => ({ add: () => undefined }),
    createObservableGauge: () => gauge,
  };
  const given = telemetry({ meterProvider: { getMeter: () => meter } as never });
  const server = (): never => {
    throw new Error('unused');
  };
  const failing = (): never => {
    throw new Error('no');
  };
  let heldMeanwhile = 0;
  const join = (): never => {
    heldMeanwhile = held.size;
    return failing();
  };
  expect(() => anynode({ server, telemetry: given, backplane: { join } })).toThrow('no');
  expect([heldMeanwhile, held.size]).toEqual([5, 0]);

  // A use of the bus of `modern` joins the backplane early.
  const store = memoryBackplane();
  const left = newGate();
  const backplane: Backplane = {
    join(options) {
      const joined = store.join(options);
      const leave = joined.leave.bind(joined);
      joined.leave = () => {
        left.open();
        return leave();
      };
      return joined;
    },
  };
  const modern: AnynodeOptions['modern'] = ({ bus }) => {
    bus.publish({ kind: 'tools_list_changed' });
    return { handler: { fetch: failing, close: failing }, isLegacyRequest: failing };
  };
  const observe = { observe: failing };
  expect(() => anynode({ server, backplane, modern, telemetry: observe })).toThrow('no');
  await left.opened;
});
