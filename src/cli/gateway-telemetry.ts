/** Serves and sends the metrics and spans of a gateway. The user installs the packages that this needs. */
import type { MeterProvider, IMetricReader } from '@opentelemetry/sdk-metrics';
import type { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import type { Telemetry } from '../options/node-telemetry.js';
import { CommandError, EXIT } from './exit.js';

export interface TelemetryFlags {
  /** The port on which metrics are served for Prometheus. */
  metrics?: number;
  /** The URL to which spans and metrics are sent by OTLP over HTTP. */
  otlp?: string;
}

export interface GatewayTelemetry {
  telemetry: Telemetry;
  /** Where the metrics are. */
  metricsUrl?: string;
  /** Sends what is left, and ends. Never rejects. */
  close(): Promise<void>;
}

const COMMON = ['@opentelemetry/api', '@opentelemetry/resources', '@opentelemetry/sdk-metrics'];
const FOR_PROMETHEUS = [...COMMON, '@opentelemetry/exporter-prometheus'];
const FOR_OTLP = [
  ...COMMON,
  '@opentelemetry/context-async-hooks',
  '@opentelemetry/core',
  '@opentelemetry/exporter-metrics-otlp-http',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/sdk-trace-base',
];

/** How long the last spans may take to be sent. */
const FLUSH_MS = 3000;

/** Returns the telemetry that the flags ask for, or `undefined` if they ask for none. */
export async function gatewayTelemetry(
  { metrics: port, otlp }: TelemetryFlags,
  host: string,
): Promise<GatewayTelemetry | undefined> {
  if (port === undefined && otlp === undefined) return undefined;
  // The node makes its id later than the providers are made.
  let tellNodeId: (nodeId: string | undefined) => void = () => undefined;
  const nodeId = new Promise<string | undefined>((resolve) => {
    tellNodeId = resolve;
  });
  const readers: IMetricReader[] = [];
  const closing: (() => Promise<void>)[] = [];
  let tracerProvider: BasicTracerProvider | undefined;
  let metricsUrl: string | undefined;
  if (port !== undefined) {
    const exporter = await installed('--metrics', FOR_PROMETHEUS, () => prometheus(port, host));
    readers.push(exporter.reader);
    metricsUrl = exporter.url;
  }
  if (otlp !== undefined) {
    const sending = await installed('--otlp', FOR_OTLP, () => openTelemetry(otlp, nodeId));
    readers.push(sending.reader);
    tracerProvider = sending.tracerProvider;
    closing.push(() => sending.tracerProvider.shutdown());
  }
  const meterProvider = await installed('--metrics', COMMON, () => meters(readers, nodeId));
  closing.push(() => meterProvider.shutdown());
  const { telemetry } = await import('../telemetry/index.js');
  const observer = telemetry({ meterProvider, tracerProvider });
  return {
    telemetry: {
      observe(node) {
        tellNodeId(node.nodeId);
        return observer.observe(node);
      },
    },
    ...(metricsUrl !== undefined && { metricsUrl }),
    close: async () => {
      // The node may not have been made. Whatever waits for its id ends.
      tellNodeId(undefined);
      const timeout = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS).unref());
      const closed = Promise.allSettled(closing.map((close) => close()));
      await Promise.race([closed, timeout]);
    },
  };
}

/** Runs `load`, and says what has to be installed if a package is missing. */
async function installed<T>(
  option: string,
  packages: readonly string[],
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const names = packages.join(' ');
    throw new CommandError(EXIT.failed, `${option} needs packages: npm install ${names}`, {
      cause: error,
    });
  }
}

type NodeId = Promise<string | undefined>;

async function meters(readers: IMetricReader[], nodeId: NodeId): Promise<MeterProvider> {
  const { MeterProvider: Provider } = await import('@opentelemetry/sdk-metrics');
  return new Provider({ readers, resource: await resource(nodeId) });
}

async function resource(nodeId: NodeId) {
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const { OTEL_SERVICE_NAME: name = 'mcp-anynode' } = process.env;
  const made = resourceFromAttributes({ 'service.name': name, 'service.instance.id': nodeId });
  // The exporter for Prometheus leaves out attributes for which nothing has waited.
  void made.waitForAsyncAttributes?.();
  return made;
}

async function prometheus(port: number, host: string) {
  const { PrometheusExporter } = await import('@opentelemetry/exporter-prometheus');
  const reader = new PrometheusExporter({ port, host, preventServerStart: true });
  try {
    await reader.startServer();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.failed, `cannot serve metrics: ${reason}`, { cause: error });
  }
  return { reader, url: `http://${host}:${port}/metrics` };
}

async function openTelemetry(url: string, nodeId: NodeId) {
  const [api, hooks, core, metrics, traces, exportMetrics, exportTraces] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-metrics-otlp-http'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]);
  const base = url.replace(/\/+$/, '');
  api.context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager().enable());
  api.propagation.setGlobalPropagator(
    new core.CompositePropagator({
      propagators: [new core.W3CTraceContextPropagator(), new core.W3CBaggagePropagator()],
    }),
  );
  const tracerProvider = new traces.BasicTracerProvider({
    resource: await resource(nodeId),
    spanProcessors: [
      new traces.BatchSpanProcessor(
        new exportTraces.OTLPTraceExporter({ url: `${base}/v1/traces` }),
      ),
    ],
  });
  const reader = new metrics.PeriodicExportingMetricReader({
    exporter: new exportMetrics.OTLPMetricExporter({ url: `${base}/v1/metrics` }),
  });
  return { tracerProvider, reader };
}
