import { context, propagation, trace } from '@opentelemetry/api';
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

/** `api`: no SDK is registered. `sampled`: one in ten requests is recorded. */
export type TelemetrySetting = 'api' | 'sampled';

const SHARE = 0.1;
const BUILT = new URL('../../dist/telemetry/index.js', import.meta.url).href;

/** Returns the option `telemetry` of a node, and registers an SDK of OpenTelemetry if that is asked for. */
export async function telemetryFor(setting: TelemetrySetting) {
  if (setting === 'sampled') {
    const exporter = new InMemorySpanExporter();
    // Spans are written like those that are sent, and kept no longer.
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
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ sampler, spanProcessors: [exporting] }),
    );
  }
  const { telemetry } = (await import(BUILT)) as typeof Telemetry;
  return telemetry();
}
