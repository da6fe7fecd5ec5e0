import type { RequestListener } from 'node:http';
import {
  context,
  defaultTextMapGetter,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  InMemorySpanExporter,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import type * as Telemetry from '../../src/telemetry/index.js';

/**
 * Which telemetry a node has. `api`: the option `telemetry` without an OpenTelemetry SDK. `http`: an SDK that records one
 * in ten traces and makes a span for each HTTP request, without the option. `sampled`: both.
 */
export type TelemetrySetting = 'api' | 'http' | 'sampled';

const SHARE = 0.1;
const BUILT = new URL('../../dist/telemetry.js', import.meta.url).href;

/** Returns the options of a node, and a function that wraps its HTTP listener. */
export async function telemetryFor(setting: TelemetrySetting | undefined) {
  const hasSdk = setting === 'http' || setting === 'sampled';
  if (hasSdk) registerSdk();
  const listening = hasSdk ? withHttpSpans : (listener: RequestListener) => listener;
  if (setting === undefined || setting === 'http') return { options: {}, listening };
  const { telemetry } = (await import(BUILT)) as typeof Telemetry;
  return { options: { telemetry: telemetry() }, listening };
}

function registerSdk(): void {
  const exporter = new InMemorySpanExporter();
  // Spans are serialized like those that are sent, and then dropped.
  const exporting = new BatchSpanProcessor({
    export: (spans, done) => {
      exporter.export(spans, done);
      exporter.reset();
    },
    shutdown: () => exporter.shutdown(),
  });
  const sampler = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(SHARE) });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ sampler, spanProcessors: [exporting] }));
}

/** Makes the same spans as OpenTelemetry's instrumentation of `node:http`, with the same attributes. */
function withHttpSpans(listener: RequestListener): RequestListener {
  const tracer = trace.getTracer('http');
  return (req, res) => {
    const parent = propagation.extract(ROOT_CONTEXT, req.headers, defaultTextMapGetter);
    const { method = 'GET', url, socket, httpVersion } = req;
    const attributes = {
      'http.request.method': method,
      'url.path': url,
      'url.scheme': 'http',
      'server.address': req.headers.host,
      'user_agent.original': req.headers['user-agent'],
      'network.peer.address': socket.remoteAddress,
      'network.peer.port': socket.remotePort,
      'network.protocol.version': httpVersion,
    };
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
    res.once('close', () => {
      span.setAttribute('http.response.status_code', res.statusCode);
      span.end();
    });
    context.with(trace.setSpan(parent, span), () => listener(req, res));
  };
}
