import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { telemetry } from '../../src/telemetry/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';

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
function meters() {
  const reader = new TestReader();
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

it('measures requests by their outcome, and gives no name to tools that do not exist', async () => {
  const { points, all, ...given } = meters();
  const { url, mcp } = await startNode({
    ...given,
    tools: {
      work: () => 'done',
      failing: () => ({ isError: true, content: [] }),
    },
  });
  const { client, sessionId } = await openSession(url);
  for (const [at, name] of ['work', 'made-up-1', 'made-up-2', 'failing', 'work'].entries()) {
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
    ['_OTHER', '-32603', 2],
    ['_OTHER', 'tool_error', 1],
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
