/** The demo's story over two nodes as one trace: every span, its parent and its links. */
import type { SpanContext } from '@opentelemetry/api';
import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import type { RequestHandler } from 'express';
import { expect, it, onTestFinished } from 'vitest';
import { buildEverythingServer } from '../../demo/everything/server.js';
import { startRoundRobin } from '../../demo/round-robin.js';
import { runStory } from '../../demo/story.js';
import { memoryBackplane } from '../../src/index.js';
import { startNode } from '../integration/support/serve.js';
import { recorder } from './support.js';

const STORY: SpanContext = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: 1,
  isRemote: true,
};

/** Stands for the instrumentation of HTTP: each request belongs to the same trace. */
const withinStory: RequestHandler = (_req, _res, next) => {
  context.with(trace.setSpanContext(ROOT_CONTEXT, STORY), next);
};

/** A span as a line: its kind and name, whose child it is, and what it is linked to. */
function linesOf(spans: ReadableSpan[]): string[] {
  const names = new Map(spans.map((span) => [span.spanContext().spanId, span.name]));
  names.set(STORY.spanId, 'story');
  const nameOf = (id: string | undefined): string => names.get(id ?? '') ?? `unknown ${id}`;
  return spans
    .map((span) => {
      const links = span.links.map((link) => {
        const what = String(link.attributes?.['anynode.link']);
        return `, ${what} ${nameOf(link.context.spanId)}`;
      });
      const parent = nameOf(span.parentSpanContext?.spanId);
      return `${SpanKind[span.kind]} ${span.name} in ${parent}${links.join('')}`;
    })
    .sort();
}

it('the story of the demo is one trace, whichever node does what', async () => {
  const record = recorder();
  const shared = {
    ...{ server: buildEverythingServer, backplane: memoryBackplane(), retryMs: 100 },
    ...{ telemetry: record.telemetry, mount: { before: [withinStory] } },
  };
  const nodes = [await startNode(shared), await startNode(shared)];
  const urls = nodes.map(({ url }) => url);
  const proxy = await startRoundRobin(urls.map((url) => Number(new URL(url).port)));
  onTestFinished(() => proxy.stop());
  const { steps } = await runStory({ url: `${proxy.url}/mcp`, nodeUrls: urls });
  expect(steps.filter(({ ok }) => !ok)).toEqual([]);

  const spans = record.spans();
  expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(
    new Set([STORY.traceId]),
  );
  expect(linesOf(spans)).toEqual([
    'CLIENT elicitation/create in tools/call test_elicitation',
    'CLIENT sampling/createMessage in tools/call test_sampling',
    'INTERNAL anynode.resume in tools/call count, request tools/call count, transport story',
    'SERVER initialize in story',
    'SERVER prompts/list in story',
    'SERVER resources/list in story',
    'SERVER resources/subscribe in story',
    'SERVER tools/call announce in story',
    'SERVER tools/call count in story',
    'SERVER tools/call count in story',
    'SERVER tools/call test_elicitation in story',
    'SERVER tools/call test_sampling in story',
    'SERVER tools/call test_simple_text in story',
    'SERVER tools/call touch in story',
    // The story lists the tools once, and once on each node after DELETE.
    'SERVER tools/list in story',
    'SERVER tools/list in story',
    'SERVER tools/list in story',
  ]);
  const nodeOf = (name: string): unknown =>
    spans.find((span) => span.name === name)?.attributes['service.instance.id'];
  const [a, b] = nodes.map(({ mcp }) => mcp.nodeId);
  expect([a, b]).toContain(nodeOf('initialize'));
  // What the story has on two nodes is on two nodes in the trace.
  expect(nodeOf('tools/call test_simple_text')).not.toBe(nodeOf('initialize'));
  expect(nodeOf('anynode.resume')).not.toBe(nodeOf('tools/call count'));
  const failed = spans.filter(({ attributes }) => attributes['error.type'] !== undefined);
  expect(
    failed.map(({ name, attributes }) => `${name} ${String(attributes['error.type'])}`),
  ).toEqual(['tools/call count cancelled', 'tools/list gone', 'tools/list gone']);
});
