import type { Attributes, Context, Link, Span } from '@opentelemetry/api';
import {
  context,
  createContextKey,
  isSpanContextValid,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { ArrivedBy, RequestName } from '../options/node-telemetry.js';
import type { JsonRpcRequest, JsonRpcResponse, RequestId } from '../protocol/json/jsonrpc.js';
import { SUPPORTED_PROTOCOL_VERSIONS } from '../protocol/protocol-versions.js';
import { ATTRIBUTE, describe, outcomeOf, payloadOf, resultOf } from './attributes.js';
import type { Metrics } from './metrics.js';
import type { Propagation } from './propagation.js';
import type { Spans } from './spans.js';
import { traceOf } from './spans.js';

interface Running {
  span: Span;
  /** What handlers run in. */
  within: Context;
  /** Attributes of the metric. */
  common: Attributes;
  beganAt: number;
  /** True if another node runs the request. */
  handedOn: boolean;
}

/** The place of the protocol version in the context of a request. */
const VERSION = createContextKey('mcp-anynode: the protocol version of a request');

/** More requests cannot run in a node. It only bounds what a mistake could leave behind. */
const MOST_RUNNING = 100_000;

/** The spans of clients' requests, from their arrival (or from when this node takes them from another one) to their end. */
export class RequestSpans {
  /** By stream, and then by the JSON text of the id. */
  private readonly running = new Map<string, Running>();
  /** The streams of requests that other nodes run, with their ids. */
  private readonly handed = new Map<string, Set<string>>();

  constructor(
    private readonly spans: Spans,
    private readonly metrics: Metrics,
    private readonly propagation: Propagation,
    private readonly payloads: boolean,
  ) {}

  arrived(
    stream: string,
    request: JsonRpcRequest,
    sessionId: string,
    by: ArrivedBy,
  ): string | undefined {
    const { name, common, own } = describe(request, sessionId, this.payloads);
    Object.assign(common, versionOf(by.headers?.['mcp-protocol-version']));
    if (by.httpVersion !== undefined) common[ATTRIBUTE.httpVersion] = by.httpVersion;
    const active = context.active();
    const parent = this.propagation.contextOf(request.params, active);
    // The client's span is the parent. The HTTP request is another way to the same message, so its span is only linked.
    const ambient = trace.getSpanContext(active);
    const isLinked =
      ambient !== undefined &&
      isSpanContextValid(ambient) &&
      trace.getSpanContext(parent)?.spanId !== ambient.spanId;
    const links: Link[] = isLinked
      ? [{ context: ambient, attributes: { [ATTRIBUTE.link]: 'transport' } }]
      : [];
    const attributes = Object.assign(own, common);
    const span = this.spans.start(name, SpanKind.SERVER, attributes, parent, links);
    const version = common[ATTRIBUTE.protocolVersion];
    const within = trace.setSpan(parent, span).setValue(VERSION, version);
    this.add(stream, request, { span, common, within });
    return traceOf(span);
  }

  taken(
    stream: string,
    request: JsonRpcRequest,
    sessionId: string,
    taken: { how: 'owner_hop' | 'rerun'; trace: string | undefined },
  ): void {
    // The request has come back to the node where it arrived.
    if (this.running.has(keyOf(stream, request.id))) return;
    const { common, own } = describe(request, sessionId, this.payloads);
    const span = this.spans.startLinked(`anynode.${taken.how}`, { ...common, ...own }, taken.trace);
    const carried = this.propagation.contextOf(request.params, context.active());
    this.add(stream, request, { span, common, within: trace.setSpan(carried, span) });
  }

  private add(
    stream: string,
    { id }: JsonRpcRequest,
    { span, common, within }: Pick<Running, 'span' | 'common' | 'within'>,
  ): void {
    if (this.running.size >= MOST_RUNNING) {
      span.end();
      return;
    }
    const beganAt = performance.now();
    const running: Running = { span, common, within, beganAt, handedOn: false };
    this.running.set(keyOf(stream, id), running);
  }

  runWithin<T>(name: RequestName, run: () => T, protocolVersion?: string): T {
    if (this.running.size === 0) return run();
    const running = this.running.get(keyOf(name.stream, name.id));
    if (running === undefined) return run();
    try {
      nameVersion(running, protocolVersion);
    } catch {
      // A span of the application's own provider may throw. The request runs all the same.
    }
    return context.with(running.within, run);
  }

  handedOn(name: RequestName, owner: string): void {
    const key = keyOf(name.stream, name.id);
    const running = this.running.get(key);
    if (running === undefined) return;
    running.handedOn = true;
    running.span.setAttribute(ATTRIBUTE.owner, owner);
    const keys = this.handed.get(name.stream) ?? new Set();
    this.handed.set(name.stream, keys.add(key));
  }

  /** The node that ran the requests has recorded how they ended. This one has seen how long the client waited. */
  connectionEnded(stream: string): void {
    for (const key of this.handed.get(stream) ?? []) {
      this.running.get(key)?.span.end();
      this.running.delete(key);
    }
    this.handed.delete(stream);
  }

  ended(name: RequestName, response: JsonRpcResponse | undefined, failure?: string): void {
    if (this.running.size === 0) return;
    const key = keyOf(name.stream, name.id);
    const running = this.running.get(key);
    if (running === undefined) return;
    this.running.delete(key);
    if (running.handedOn) {
      this.handed.get(name.stream)?.delete(key);
    }
    try {
      this.finish(running, response, failure);
    } finally {
      running.span.end();
    }
  }

  private finish(
    { span, common, beganAt }: Running,
    response: JsonRpcResponse | undefined,
    failure: string | undefined,
  ): void {
    const isRecording = span.isRecording();
    if (!isRecording && this.metrics.isOff) return;
    const method = common[ATTRIBUTE.method];
    const { attributes, message } = outcomeOf(response, failure);
    // The version is settled by the answer to `initialize`.
    if (method === 'initialize' && response !== undefined)
      Object.assign(attributes, versionOf(resultOf(response)?.protocolVersion));
    this.metrics.operation('server', performance.now() - beganAt, common, attributes);
    if (isRecording) {
      finish(span, attributes, message);
      const isResult = response !== undefined && 'result' in response;
      if (this.payloads && method === 'tools/call' && isResult)
        span.setAttribute(ATTRIBUTE.result, payloadOf(response.result));
    }
  }
}

/** Returns the protocol version of the request within which the code runs, as attributes. */
export function currentVersion(active: Context): Attributes {
  return versionOf(active.getValue(VERSION));
}

/** Adds the protocol version of the session to a request that has not named it. */
function nameVersion(running: Running, protocolVersion: string | undefined): void {
  const { span, common } = running;
  if (ATTRIBUTE.protocolVersion in common) return;
  const version = versionOf(protocolVersion);
  Object.assign(common, version);
  span.setAttributes(version);
  running.within = running.within.setValue(VERSION, protocolVersion);
}

/** Says on a span how its operation ended. */
export function finish(span: Span, attributes: Attributes, message: string | undefined): void {
  span.setAttributes(attributes);
  if (attributes[ATTRIBUTE.error] === undefined) return;
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
}

function keyOf(stream: string, id: RequestId): string {
  return typeof id === 'number' ? `${stream} ${id}` : `${stream} "${id}`;
}

/** Only versions that exist, since the text may be a client's. */
function versionOf(version: unknown): Attributes {
  const isKnown = typeof version === 'string' && SUPPORTED_PROTOCOL_VERSIONS.includes(version);
  return isKnown ? { [ATTRIBUTE.protocolVersion]: version } : {};
}
