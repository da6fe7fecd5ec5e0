/** Takes contexts out of messages of clients, and puts them into messages and headers. */
import type { Context, PropagationAPI, TextMapGetter, TextMapPropagator } from '@opentelemetry/api';
import { defaultTextMapSetter } from '@opentelemetry/api';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { JsonRpcRequest } from '../protocol/json/jsonrpc.js';

/**
 * How long a value may be that is taken from a client. W3C Trace Context asks for 512 characters of `tracestate`, and W3C
 * Baggage for 8,192 bytes.
 */
const MOST_CHARACTERS: Readonly<Record<string, number>> = {
  traceparent: 256,
  tracestate: 512,
  baggage: 8192,
};

const GETTER: TextMapGetter<Record<string, unknown>> = {
  keys: (meta) => Object.keys(MOST_CHARACTERS).filter((key) => typeof meta[key] === 'string'),
  get(meta, key) {
    const value = meta[key];
    const isShort = typeof value === 'string' && value.length <= (MOST_CHARACTERS[key] ?? 512);
    return isShort ? value : undefined;
  },
};

/** A propagator, or the API's `propagation`, which is the global one. */
type Propagator = Pick<PropagationAPI, 'extract' | 'fields' | 'inject'> | TextMapPropagator;

export class Propagation {
  constructor(private readonly propagator: Propagator) {}

  /** True as long as no propagator is registered. */
  get isOff(): boolean {
    return this.propagator.fields().length === 0;
  }

  /** Returns the context that a message of the client brings in `params._meta` (SEP-414), or else `active`. */
  contextOf(params: JsonRpcRequest['params'], active: Context): Context {
    const meta: unknown = params?._meta;
    if (typeof meta !== 'object' || meta === null) return active;
    if (!('traceparent' in meta) && !('baggage' in meta)) return active;
    return this.propagator.extract(active, meta, GETTER);
  }

  /** Returns the request with the context in its `params._meta`. */
  withContext<T extends JsonRpcRequest>(request: T, from: Context): T {
    const carrier = this.carrierOf(from);
    if (Object.keys(carrier).length === 0) return request;
    const { params } = request;
    return { ...request, params: { ...params, _meta: { ...params?._meta, ...carrier } } };
  }

  /** Returns the context as headers. A client chooses its baggage, so what cannot be a header is left out. */
  headersOf(from: Context): Record<string, string> {
    return Object.fromEntries(Object.entries(this.carrierOf(from)).filter(isHeader));
  }

  private carrierOf(from: Context): Record<string, string> {
    const carrier: Record<string, string> = {};
    this.propagator.inject(from, carrier, defaultTextMapSetter);
    return carrier;
  }
}

function isHeader([name, value]: [string, string]): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
