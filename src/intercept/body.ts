/** What comes back from a server behind this library, read as what the protocol says it may be. */
import type { IncomingMessage } from 'node:http';
import type { JsonRpcError, JsonRpcMessage } from '../protocol/jsonrpc.js';
import type { Place, ServerSentEvent } from './event-stream.js';
import { EventStreamReader } from './event-stream.js';
import type { Refusal } from './failure.js';
import { Failure } from './failure.js';

/** Of a refusal, which is shown to a client or looked at for a reason. */
const MOST_OF_REFUSAL = 64 * 1024;
/** Characters that may be on their way into the session's log; beyond that the server has to wait. */
const MOST_WAITING = 256 * 1024;

/** `undefined`: neither kind. */
export function kindOf({ headers }: IncomingMessage): 'json' | 'events' | undefined {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type === 'application/json') return 'json';
  return type === 'text/event-stream' ? 'events' : undefined;
}

export function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

/** Rejects with a {@link Failure} where it breaks off. */
function readText(response: IncomingMessage, most = Infinity): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > most) response.destroy();
    });
    response.once('close', () => {
      if (response.complete || text.length > most) resolve(text.slice(0, most));
      else reject(new Failure('server_lost', 'the response broke off'));
    });
    if (response.destroyed) reject(new Failure('server_lost', 'given up'));
  });
}

/** The messages of a body of JSON: one, or a batch. */
export async function readJson(response: IncomingMessage): Promise<JsonRpcMessage[]> {
  const value = parsed(await readText(response));
  const messages = Array.isArray(value) ? (value as unknown[]) : [value];
  if (!messages.every(isMessage)) throw new Failure('server_invalid', 'no JSON-RPC');
  return messages;
}

export async function readRefusal(response: IncomingMessage): Promise<Failure> {
  const status = response.statusCode ?? 0;
  const body = await readText(response, MOST_OF_REFUSAL).catch(() => '');
  const { error } = (parsed(body) ?? {}) as { error?: Partial<JsonRpcError['error']> | null };
  const isError = typeof error?.code === 'number' && typeof error.message === 'string';
  const refusal: Refusal = {
    status,
    contentType: response.headers['content-type'],
    headers: shownOf(response),
    ...locationOf(response),
    body,
    error: isError ? (error as JsonRpcError['error']) : undefined,
  };
  return new Failure('server_refused', `status ${status}`, refusal);
}

function locationOf({ statusCode = 0, headers }: IncomingMessage): { location?: string } {
  const { location } = headers;
  if (location === undefined || statusCode < 300 || statusCode >= 400) return {};
  return { location: withoutSecrets(location) };
}

/** An address, absolute or not, as a log may name it: without credentials and query. */
export function withoutSecrets(address: string | URL): string {
  const text = String(address).replace(/[?#].*$/s, '');
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url.href;
}

function shownOf({ headers }: IncomingMessage): Record<string, string> {
  const shown: Record<string, string> = {};
  const authenticate = headers['www-authenticate'];
  const retryAfter = headers['retry-after'];
  if (authenticate !== undefined) shown['WWW-Authenticate'] = authenticate;
  if (retryAfter !== undefined) shown['Retry-After'] = retryAfter;
  return shown;
}

/**
 * Reads an event stream until it ends; `cut` where that was not the server's doing. `take` gets one message after the
 * other and is not waited for, unless too much is on its way.
 */
export function readEvents(
  response: IncomingMessage,
  place: Place,
  take: (message: JsonRpcMessage) => Promise<void>,
): Promise<'ended' | 'cut'> {
  let waiting = 0;
  const onEvent = ({ event, data }: ServerSentEvent): void => {
    if (event !== undefined && event !== 'message') return;
    const message = parsed(data);
    if (!isMessage(message)) return;
    waiting += data.length;
    if (waiting > MOST_WAITING) response.pause();
    void take(message).finally(() => {
      waiting -= data.length;
      if (waiting <= MOST_WAITING) response.resume();
    });
  };
  const reader = new EventStreamReader(place, onEvent);
  return new Promise((resolve) => {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => reader.feed(chunk));
    response.once('close', () => resolve(response.complete ? 'ended' : 'cut'));
    if (response.destroyed) resolve('cut');
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Loosely: what a server says beyond the frame of JSON-RPC is between it and its client. */
function isMessage(value: unknown): value is JsonRpcMessage {
  if (typeof value !== 'object' || value === null) return false;
  if ((value as { jsonrpc?: unknown }).jsonrpc !== '2.0') return false;
  return 'method' in value || 'result' in value || 'error' in value;
}
