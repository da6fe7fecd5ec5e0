import type {
  Attributes,
  Context,
  Link,
  Span,
  SpanContext,
  Tracer,
  TracerDelegator,
  TracerProvider,
} from '@opentelemetry/api';
import { context, isSpanContextValid, SpanKind, trace } from '@opentelemetry/api';
import type { Labels, LinkedEvent, LinkedTo } from '../options/node-telemetry.js';
import { VERSION } from '../protocol/version.js';
import { parseTrace } from '../protocol/trace.js';
import { ATTRIBUTE, bounded } from './attributes.js';

/** The instrumentation scope of all that this library records. */
export const SCOPE = ['mcp-anynode', VERSION] as const;

/** Makes the spans of one node. */
export class Spans {
  private readonly tracer: Tracer;
  private hasSdk = false;

  constructor(
    private readonly provider: TracerProvider | (TracerProvider & TracerDelegator),
    readonly nodeId: string,
  ) {
    this.tracer = provider.getTracer(...SCOPE);
  }

  /** True as long as no SDK makes spans. An SDK may be registered at any time, and the tracer hands on to it from then on. */
  get isOff(): boolean {
    const { provider } = this;
    this.hasSdk ||=
      !('getDelegateTracer' in provider) || provider.getDelegateTracer(...SCOPE) !== undefined;
    return !this.hasSdk;
  }

  /** Starts a span. The attributes are the caller's no more: the node is added to them. */
  start(
    name: string,
    kind: SpanKind,
    attributes: Attributes,
    parent: Context,
    links: Link[] = [],
  ): Span {
    attributes[ATTRIBUTE.node] = this.nodeId;
    return this.tracer.startSpan(name, { kind, attributes, links }, parent);
  }

  /**
   * Starts a span of what happens to a request. It is a child of the request's span, and linked to it and to the current
   * span. If the request has no trace, it is a child of the current span.
   */
  startLinked(name: string, attributes: Attributes, original: string | undefined): Span {
    const active = context.active();
    const ambient = trace.getSpanContext(active);
    const request = spanContextOf(original);
    if (request === undefined) return this.start(name, SpanKind.INTERNAL, attributes, active);
    const links: Link[] = [{ context: request, attributes: { [ATTRIBUTE.link]: 'request' } }];
    if (ambient !== undefined && isSpanContextValid(ambient)) {
      links.push({ context: ambient, attributes: { [ATTRIBUTE.link]: 'transport' } });
    }
    const parent = trace.setSpanContext(active, request);
    return this.start(name, SpanKind.INTERNAL, attributes, parent, links);
  }

  happened(event: LinkedEvent, about: LinkedTo, labels: Labels = {}): void {
    const { sessionId, stream, trace: original } = about;
    const attributes: Attributes = { [ATTRIBUTE.session]: bounded(sessionId) };
    if (stream !== undefined) attributes[ATTRIBUTE.stream] = bounded(stream);
    for (const [name, value] of Object.entries(labels)) attributes[`anynode.${name}`] = value;
    this.startLinked(`anynode.${event}`, attributes, original).end();
  }
}

/** Returns the trace of a span, as it goes to other nodes. `undefined`: no SDK records it. */
export function traceOf(span: Span): string | undefined {
  const of = span.spanContext();
  if (!isSpanContextValid(of)) return undefined;
  const flags = of.traceFlags.toString(16).padStart(2, '0');
  return `00-${of.traceId}-${of.spanId}-${flags}`;
}

function spanContextOf(text: string | undefined): SpanContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = parseTrace(text)?.split('-') ?? [];
  if (traceId === '') return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}
