import type { Attributes, Span } from '@opentelemetry/api';
import { context, SpanKind, trace } from '@opentelemetry/api';
import type { JsonRpcRequest, JsonRpcResponse, RequestId } from '../protocol/json/jsonrpc.js';
import { describe, outcomeOf } from './attributes.js';
import type { Metrics } from './metrics.js';
import type { Propagation } from './propagation.js';
import { currentVersion, finish } from './request-spans.js';
import type { Spans } from './spans.js';

interface Open {
  span: Span;
  common: Attributes;
  beganAt: number;
}

/** More questions cannot wait in a node. It only bounds what a mistake could leave behind. */
const MOST_OPEN = 100_000;

/** The spans of requests of the server to the client. The node that asked has them, whichever node the client answers. */
export class QuestionSpans {
  private readonly open = new Map<string, Open>();

  constructor(
    private readonly spans: Spans,
    private readonly metrics: Metrics,
    private readonly propagation: Propagation,
  ) {}

  /** The handler that asks runs within its request, whose span is the parent. */
  asked<T extends JsonRpcRequest>(question: T, sessionId: string): T {
    const id = String(question.id);
    if (this.open.has(id) || this.open.size >= MOST_OPEN) return question;
    const { name, common, own } = describe(question, sessionId);
    const active = context.active();
    Object.assign(common, currentVersion(active));
    const span = this.spans.start(name, SpanKind.CLIENT, Object.assign(own, common), active);
    this.open.set(id, { span, common, beganAt: performance.now() });
    return this.propagation.withContext(question, trace.setSpan(active, span));
  }

  answered(id: RequestId, response: JsonRpcResponse): void {
    this.end(String(id), response, undefined);
  }

  dropped(id: string): void {
    this.end(id, undefined, 'not_answered');
  }

  private end(
    id: string,
    response: JsonRpcResponse | undefined,
    failure: string | undefined,
  ): void {
    const open = this.open.get(id);
    if (open === undefined) return;
    this.open.delete(id);
    const { span, common, beganAt } = open;
    try {
      const { attributes, message } = outcomeOf(response, failure);
      this.metrics.operation('client', performance.now() - beganAt, common, attributes);
      finish(span, attributes, message);
    } finally {
      span.end();
    }
  }
}
