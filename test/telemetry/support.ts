/** An SDK of OpenTelemetry in memory, for the tests of telemetry. */
import { context, defaultTextMapGetter, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  CompositePropagator,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import type { RequestHandler } from 'express';
import { expect } from 'vitest';
import type { Telemetry } from '../../src/options/node-telemetry.js';
import { telemetry } from '../../src/telemetry/index.js';

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

const propagator = new CompositePropagator({
  propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
});

export interface Recorder {
  telemetry: Telemetry;
  provider: BasicTracerProvider;
  /** All spans that have ended, in the order of their ends. */
  spans(): ReadableSpan[];
  /** Waits for spans with this name. */
  named(name: string, count?: number): Promise<ReadableSpan[]>;
}

export function recorder(options: { payloads?: boolean } = {}): Recorder {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const spans = (): ReadableSpan[] => exporter.getFinishedSpans();
  return {
    telemetry: telemetry({ tracerProvider: provider, propagator, ...options }),
    provider,
    spans,
    async named(name, count = 1) {
      const found = (): ReadableSpan[] => spans().filter((span) => span.name === name);
      await expect.poll(found).toHaveLength(count);
      return found();
    },
  };
}

/** Middleware like an instrumentation of HTTP: requests run within a span, whose parent is in the headers. */
export function httpSpans(provider: BasicTracerProvider): RequestHandler {
  const tracer = provider.getTracer('http');
  return (req, res, next) => {
    const parent = propagator.extract(ROOT_CONTEXT, req.headers, defaultTextMapGetter);
    const span = tracer.startSpan(req.method, {}, parent);
    res.once('close', () => span.end());
    context.with(trace.setSpan(parent, span), next);
  };
}

export function idsOf(span: ReadableSpan | undefined) {
  const { traceId, spanId } = span?.spanContext() ?? { traceId: '', spanId: '' };
  return { traceId, spanId, parent: span?.parentSpanContext?.spanId };
}

export const linksOf = (span: ReadableSpan | undefined): string[] =>
  (span?.links ?? []).map(({ context: { spanId }, attributes }) => {
    return `${String(attributes?.['anynode.link'])} ${spanId}`;
  });
