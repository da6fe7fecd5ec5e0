import type { MeterProvider, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import { context, metrics, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { ObservedNode, NodeTelemetry, Telemetry } from '../options/node-telemetry.js';
import { Metrics } from './metrics.js';
import { Propagation } from './propagation.js';
import { QuestionSpans } from './question-spans.js';
import { RequestSpans } from './request-spans.js';
import { SCOPE, Spans } from './spans.js';

export interface TelemetryOptions {
  /** Makes the spans. Default: the global one, which an SDK of OpenTelemetry registers. */
  tracerProvider?: TracerProvider | undefined;
  /** Makes the metrics. Default: the global one. */
  meterProvider?: MeterProvider | undefined;
  /** Reads and writes `_meta` of messages, and headers. Default: the global one. */
  propagator?: TextMapPropagator | undefined;
  /**
   * Whether spans have the arguments and results of tools, as JSON of at most 8,192 characters. They may be
   * secrets. Default `false`.
   */
  payloads?: boolean | undefined;
}

/**
 * Makes the value of the option `telemetry`. Only `@opentelemetry/api` is needed. Without an SDK of OpenTelemetry nothing is
 * recorded. One value may be given to several nodes.
 */
export function telemetry(options: TelemetryOptions = {}): Telemetry {
  return { observe: (node) => nodeTelemetry(node, options) };
}

function nodeTelemetry(node: ObservedNode, options: TelemetryOptions): NodeTelemetry {
  const {
    tracerProvider = trace.getTracerProvider(),
    meterProvider = metrics,
    payloads = false,
  } = options;
  const measures = new Metrics(meterProvider.getMeter(...SCOPE), node);
  const carried = new Propagation(options.propagator ?? propagation);
  const spans = new Spans(tracerProvider, node.nodeId);
  const requests = new RequestSpans(spans, measures, carried, payloads);
  const questions = new QuestionSpans(spans, measures, carried);
  try {
    measures.open();
  } catch (error) {
    measures.close();
    throw error;
  }
  return {
    hasMetrics: !measures.isOff,
    isOff: safely(
      () => measures.isOff && spans.isOff && carried.isOff && context.active() === ROOT_CONTEXT,
      false,
    ),
    requestArrived: safely((...args) => requests.arrived(...args), undefined),
    requestTaken: safely((...args) => requests.taken(...args), undefined),
    runWithin: (...args) => requests.runWithin(...args),
    requestHandedOn: safely((...args) => requests.handedOn(...args), undefined),
    connectionEnded: safely((stream) => requests.connectionEnded(stream), undefined),
    requestEnded: safely((...args) => requests.ended(...args), undefined),
    questionAsked: (question, sessionId) => {
      const ask = safely(() => questions.asked(question, sessionId), question);
      return ask();
    },
    questionAnswered: safely((...args) => questions.answered(...args), undefined),
    questionDropped: safely((id) => questions.dropped(id), undefined),
    happened: safely((...args) => spans.happened(...args), undefined),
    count: safely((...args) => measures.count(...args), undefined),
    measure: safely((...args) => measures.measure(...args), undefined),
    close: safely(() => measures.close(), undefined),
    headers: safely(() => carried.headersOf(context.active()), {}),
  };
}

/** An exporter or a sampler of the application may throw. That must not reach the request that is observed. */
function safely<Args extends unknown[], Result>(
  run: (...args: Args) => Result,
  otherwise: Result,
): (...args: Args) => Result {
  return (...args) => {
    try {
      return run(...args);
    } catch {
      return otherwise;
    }
  };
}
