import {
  context,
  createContextKey,
  INVALID_SPAN_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js';
import { ListRootsResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect, it, onTestFinished } from 'vitest';
import type { JsonRpcResponse } from '../../src/protocol/json/jsonrpc.js';
import { markAdopted } from '../../src/replica/requests/adopted-requests.js';
import { telemetry } from '../../src/telemetry/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { hasMethod, request } from '../support/mcp-http.js';
import type { Recorder } from './support.js';
import { httpSpans, idsOf, linksOf, recorder } from './support.js';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN_ID = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`;

const calling = (id: number, name: string, meta?: object) =>
  request(id, 'tools/call', { name, arguments: { secret: 'x' }, ...(meta && { _meta: meta }) });

it('records a request as a SERVER span whose parent is in `_meta`, and links the HTTP span', async () => {
  const record = recorder();
  const { url } = await startNode({
    telemetry: record.telemetry,
    mount: { before: [httpSpans(record.provider)] },
    tools: {
      work: async () => {
        await Promise.resolve();
        record.provider.getTracer('app').startSpan('query', {}, context.active()).end();
        return 'done';
      },
    },
  });
  const { client, sessionId } = await openSession(url);
  const answer = await client.post(url, calling(7, 'work', { traceparent: TRACEPARENT }));
  await answer.answer(7);

  const [span] = await record.named('tools/call work');
  expect(span?.kind).toBe(SpanKind.SERVER);
  expect(idsOf(span)).toMatchObject({ traceId: TRACE_ID, parent: SPAN_ID });
  expect(span?.attributes).toEqual({
    'mcp.method.name': 'tools/call',
    'mcp.session.id': sessionId,
    'mcp.protocol.version': '2025-11-25',
    'jsonrpc.request.id': '7',
    'gen_ai.tool.name': 'work',
    'gen_ai.operation.name': 'execute_tool',
    'network.transport': 'tcp',
    'network.protocol.name': 'http',
    'network.protocol.version': '1.1',
    'service.instance.id': expect.stringMatching(/^[a-z]\w{9}$/) as string,
  });
  expect(span?.status.code).toBe(SpanStatusCode.UNSET);
  const [https] = (await record.named('POST', 3)).slice(-1);
  expect(linksOf(span)).toEqual([`transport ${idsOf(https).spanId}`]);
  // What the handler emits is a child.
  const [query] = await record.named('query');
  expect(idsOf(query)).toMatchObject({ traceId: TRACE_ID, parent: idsOf(span).spanId });
});

it('makes the HTTP span the parent without `_meta`, also of `initialize`', async () => {
  const record = recorder();
  const { url } = await startNode({
    telemetry: record.telemetry,
    mount: { before: [httpSpans(record.provider)] },
    tools: { work: () => 'done' },
  });
  const { client } = await openSession(url);
  await (await client.post(url, calling(2, 'work'))).answer(2);

  const [span] = await record.named('tools/call work');
  const [initialize] = await record.named('initialize');
  const posts = await record.named('POST', 3);
  expect([idsOf(initialize).parent, idsOf(span).parent]).toEqual(
    [posts[0], posts[2]].map((post) => idsOf(post).spanId),
  );
  expect([linksOf(initialize), linksOf(span)]).toEqual([[], []]);
  expect(initialize?.attributes).toMatchObject({ 'mcp.protocol.version': '2025-11-25' });
});

it('says what went wrong, and shows payloads only when asked', async () => {
  const record = recorder({ payloads: true });
  const { url } = await startNode({
    telemetry: record.telemetry,
    tools: {
      failing: () => ({ isError: true, content: [{ type: 'text', text: 'no' }] }),
      throwing: () => {
        throw new Error('broken');
      },
    },
  });
  const { client } = await openSession(url);
  await (await client.post(url, calling(2, 'failing'))).answer(2);
  await (await client.post(url, request(3, 'no/such', {}))).answer(3);
  await client.post(url, request(3, 'resources/read', { uri: `u:${'x'.repeat(1000)}` }));

  const [failing] = await record.named('tools/call failing');
  expect(failing?.attributes).toMatchObject({
    'error.type': 'tool_error',
    'gen_ai.tool.call.arguments': '{"secret":"x"}',
    'gen_ai.tool.call.result': '{"content":[{"type":"text","text":"no"}],"isError":true}',
  });
  expect(failing?.status.code).toBe(SpanStatusCode.ERROR);
  const [unknown] = await record.named('_OTHER');
  expect(unknown?.attributes).toMatchObject({
    'error.type': '-32601',
    'rpc.response.status_code': '-32601',
    'anynode.method': 'no/such',
  });
  expect(unknown?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'Method not found' });
  const [read] = await record.named('resources/read');
  expect(String(read?.attributes['mcp.resource.uri'])).toHaveLength(256);
});

it('records a question as a CLIENT span, and tells the client its context', async () => {
  const record = recorder();
  const { url } = await startNode({
    telemetry: record.telemetry,
    tools: {
      ask: async ({ extra }) => {
        const { roots } = await extra.sendRequest({ method: 'roots/list' }, ListRootsResultSchema);
        return `${roots.length}`;
      },
    },
  });
  const { client } = await openSession(url, { capabilities: { roots: {} } });
  const { sse } = await client.post(url, calling(2, 'ask', { traceparent: TRACEPARENT }));
  const { message: question } = await sse.next(hasMethod('roots/list'));
  await client.respond(url, question?.id ?? '', { roots: [] });
  await sse.ended;

  const [span] = await record.named('roots/list');
  const [call] = await record.named('tools/call ask');
  expect(span?.kind).toBe(SpanKind.CLIENT);
  // The question had no version. The call within which it was asked has one.
  expect(span?.attributes['mcp.protocol.version']).toBe('2025-11-25');
  expect(idsOf(span)).toMatchObject({ traceId: TRACE_ID, parent: idsOf(call).spanId });
  expect(question?.params?.['_meta']).toEqual({
    traceparent: `00-${TRACE_ID}-${idsOf(span).spanId}-01`,
  });
});

it('takes no context from a client that is too long or malformed', async () => {
  const record = recorder();
  const { url } = await startNode({ telemetry: record.telemetry, tools: { work: () => 'done' } });
  const { client } = await openSession(url);
  const malformed = [
    { traceparent: 'x'.repeat(100_000) },
    { traceparent: 7, tracestate: {} },
    { baggage: `a=${'b'.repeat(100_000)}` },
    { traceparent: TRACEPARENT, tracestate: 'x'.repeat(100_000) },
  ];
  for (const [at, meta] of malformed.entries()) {
    await (await client.post(url, calling(at + 2, 'work', meta))).answer(at + 2);
  }
  const spans = await record.named('tools/call work', malformed.length);
  const parents = spans.map((span) => idsOf(span).parent);
  expect(parents).toEqual([undefined, undefined, undefined, SPAN_ID]);
  expect(spans.at(-1)?.spanContext().traceState?.serialize() ?? '').toBe('');
});

it('works as ever when an exporter throws, and records nothing without an SDK', async () => {
  const broken = {
    startSpan: () => {
      throw new Error('broken');
    },
  };
  const provider = { getTracer: () => broken } as never;
  for (const each of [telemetry({ tracerProvider: provider }), telemetry()]) {
    const { url } = await startNode({ telemetry: each, tools: { work: () => 'done' } });
    const { client } = await openSession(url);
    const answer = await (await client.post(url, calling(2, 'work'))).answer(2);
    expect(answer).toMatchObject({ result: { content: [{ text: 'done' }] } });
  }
  expect(trace.getActiveSpan()).toBeUndefined();
});

// What is skipped without an SDK must not be skipped for ever.
it('records the spans of an SDK that is registered after the node was made', async () => {
  const record = recorder();
  const { url } = await startNode({ telemetry: telemetry(), tools: { work: () => 'done' } });
  const { client } = await openSession(url);
  await (await client.post(url, calling(2, 'work'))).answer(2);
  trace.setGlobalTracerProvider(record.provider);
  onTestFinished(() => trace.disable());
  await (await client.post(url, calling(3, 'work'))).answer(3);
  const [span] = await record.named('tools/call work');
  expect(span?.attributes).toMatchObject({ 'jsonrpc.request.id': '3' });
});

// The node that shows a task's question need not be the one that asked, and never hears of the answer.
it('records no question that another node has asked', async () => {
  const record = recorder();
  let transport: Transport | undefined;
  const { url } = await startNode({
    telemetry: record.telemetry,
    server: () => ({
      connect(given: Transport) {
        transport = given;
        given.onmessage = (message) => {
          const { id, method } = message as JSONRPCRequest;
          const serverInfo = { name: 's', version: '1' };
          const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
          if (method === 'initialize') void given.send({ jsonrpc: '2.0', id, result });
        };
        return given.start();
      },
      close: () => Promise.resolve(),
    }),
  });
  const { client } = await openSession(url);
  const sse = await client.listen(url);
  const foreign = { jsonrpc: '2.0' as const, id: 'aothernode.7', method: 'roots/list' };
  markAdopted(foreign);
  await transport?.send(foreign);
  await transport?.send({ ...foreign, id: 1 });
  const [shown, own] = [await sse.next(), await sse.next()].map(({ message }) => message);
  expect(shown).toEqual(foreign);
  expect(own?.params?.['_meta']).toHaveProperty('traceparent');
});

const observed = (record: Pick<Recorder, 'telemetry'>) => {
  const none = (): number => 0;
  const gauges = { sessions: none, replicas: none, streams: none, requests: none };
  return record.telemetry.observe({ nodeId: 'n', ...gauges, bufferedBytes: none });
};
const question = { jsonrpc: '2.0' as const, id: 'n.1', method: 'roots/list' };

// The cost of a call was 7 % higher without an SDK, because each step of the backplane was timed for no one.
it('is off only while nothing of an SDK is registered', () => {
  const node = observed({ telemetry: telemetry() });
  expect([node.isOff(), node.hasMetrics]).toEqual([true, false]);
  const [carried, propagator] = [createContextKey('carried'), new W3CTraceContextPropagator()];
  const within = context.active().setValue(carried, 1);
  expect(context.with(within, () => node.isOff())).toBe(false);
  expect(observed({ telemetry: telemetry({ propagator }) }).isOff()).toBe(false);
  expect(observed(recorder()).isOff()).toBe(false);
  const metered = observed({ telemetry: telemetry({ meterProvider: new MeterProvider() }) });
  expect([metered.isOff(), metered.hasMetrics]).toEqual([false, true]);
});

// A server need not keep to the types of the protocol. The span of such an answer never ended.
it.each([{ result: null }, { result: undefined }, { error: null }, { error: { message: 7 } }])(
  'ends spans with the answer %j',
  async (answer) => {
    const record = recorder();
    const node = observed(record);
    const response = { jsonrpc: '2.0', id: 1, ...answer } as unknown as JsonRpcResponse;
    const by = { headers: {}, httpVersion: '1.1' };
    for (const method of ['initialize', 'ping']) {
      node.requestArrived(method, { jsonrpc: '2.0', id: 1, method }, 's', by);
      node.requestEnded({ stream: method, id: 1 }, response);
      await record.named(method);
    }
    node.questionAsked(question, 's');
    node.questionAnswered(question.id, response);
    await record.named('roots/list');
  },
);

it('ends each span even if it cannot describe the answer', async () => {
  const record = recorder({ payloads: true });
  const node = observed(record);
  const call = { jsonrpc: '2.0' as const, id: 1, method: 'tools/call', params: { name: 'x' } };
  node.requestArrived('s', call, 's', { headers: {}, httpVersion: undefined });
  node.requestEnded({ stream: 's', id: 1 }, { jsonrpc: '2.0', id: 1, result: { large: 1n } });
  await record.named('tools/call x');
});

it('asks a question once, and keeps a bounded number of them', () => {
  let started = 0;
  const span = { ...trace.wrapSpanContext(INVALID_SPAN_CONTEXT), end: () => undefined };
  const startSpan = () => {
    started += 1;
    return span;
  };
  const tracerProvider = { getTracer: () => ({ startSpan }) } as never;
  const node = observed({ telemetry: telemetry({ tracerProvider }) });
  node.questionAsked(question, 's');
  node.questionAsked(question, 's');
  expect(started).toBe(1);
  for (let at = 2; at <= 100_010; at += 1) node.questionAsked({ ...question, id: `n.${at}` }, 's');
  expect(started).toBe(100_000);
});
