/** Runs one request to a server behind this library, from its POST to its answer. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/json/jsonrpc.js';
import { isResponse } from '../protocol/json/jsonrpc.js';
import type { BodyReader } from './http/response-body.js';
import { isSuccess, kindOf } from './http/response-body.js';
import { MESSAGE_COST, oversized } from './bounds.js';
import type { Ending } from './ending.js';
import type { Place } from './http/event-stream.js';
import { Failure } from './failure.js';
import type { Origin } from './http/origin.js';
import type { Target } from './http/http-exchange.js';

export interface CallParts {
  target: Target;
  reader: BodyReader;
  clock: Clock;
  /** The headers of the private session. */
  headers: Record<string, string>;
  origin: Origin | undefined;
  /** Ends the call when its answer is no longer needed. */
  ending: Ending;
  /** How long to try to resume a stream that broke off. */
  patienceMs: number;
  /** How many bytes the server may send, its answer included. Without it, any number. */
  mostBytes?: number;
  onSent?: (() => void) | undefined;
  onHead?: (response: IncomingMessage) => void;
  /** Called with each message before the answer. Never rejects. */
  onMessage: (message: JsonRpcMessage) => Promise<void>;
  /** Called when the server has ended the connection and expects its client to resume. */
  onHangUp?: (() => void) | undefined;
}

/** How long a client waits before it resumes, if the server does not say. */
export const RETRY_MS = 1000;
/** How long a server may take to end the stream of an answered call. */
const LINGER_MS = 1000;

export const ACCEPT_BOTH = 'application/json, text/event-stream';
export const ACCEPT_EVENTS = 'text/event-stream';

/** Sends a request and resolves with the server's answer. Rejects with a {@link Failure}, also when `ending` ends. */
export async function call(request: JsonRpcRequest, parts: CallParts): Promise<JsonRpcResponse> {
  const { target, reader, headers, origin, ending, mostBytes, onSent, onHead, onMessage } = parts;
  const response = await target.send({
    method: 'POST',
    headers: { ...headers, accept: ACCEPT_BOTH, 'content-type': 'application/json' },
    body: JSON.stringify(request),
    ...{ origin, ending },
    ...(onSent !== undefined && { onSent }),
  });
  if (!isSuccess(response)) throw await reader.refusal(response);
  onHead?.(response);
  const kind = kindOf(response);
  if (kind === 'events') return new Stream(request.id, parts).follow(response);
  if (kind === 'json') {
    const messages = await reader.json(response, mostBytes);
    const answer = messages.find((message) => answers(message, request.id));
    for (const message of messages) if (!isResponse(message)) void onMessage(message);
    if (answer !== undefined) return answer;
  }
  reader.discard(response);
  const type = response.headers['content-type'] ?? 'no type';
  throw new Failure('server_invalid', `status ${response.statusCode}, ${type}, no answer`);
}

/** The event stream of one request, over as many connections as needed. */
class Stream {
  private readonly place: Place = { lastEventId: undefined, retryMs: undefined };
  private answer: JsonRpcResponse | undefined;
  private bytesLeft: number;

  constructor(
    private readonly id: RequestId,
    private readonly parts: CallParts,
  ) {
    this.bytesLeft = parts.mostBytes ?? Infinity;
  }

  follow(response: IncomingMessage): Promise<JsonRpcResponse> {
    return new Promise((resolve, reject) => {
      void this.read(response, resolve)
        .then(async (how) => {
          if (this.answer !== undefined) return;
          await this.resume(how, resolve);
        })
        .catch(reject);
    });
  }

  private read(
    response: IncomingMessage,
    resolve: (answer: JsonRpcResponse) => void,
  ): Promise<'ended' | 'cut'> {
    const { clock, reader, onMessage, mostBytes } = this.parts;
    return reader.events(response, this.place, async (message, length) => {
      this.bytesLeft -= length + MESSAGE_COST;
      if (this.bytesLeft < 0) throw oversized(`more than ${mostBytes} bytes before its answer`);
      if (!answers(message, this.id)) {
        if (!isResponse(message)) await onMessage(message);
        return;
      }
      if (this.answer !== undefined) return;
      this.answer = message;
      resolve(message);
      const cancel = clock.after(LINGER_MS, () => response.destroy());
      response.once('close', cancel);
    });
  }

  /**
   * Resumes the stream with the id of the last event, until the answer arrives or the server no longer resumes the stream.
   */
  private async resume(
    how: 'ended' | 'cut',
    resolve: (answer: JsonRpcResponse) => void,
  ): Promise<void> {
    const { target, reader, clock, headers, origin, ending, patienceMs, onHangUp } = this.parts;
    if (how === 'ended' && this.place.lastEventId !== undefined) onHangUp?.();
    let lastHeard = clock.elapsed();
    while (this.answer === undefined) {
      const { lastEventId, retryMs = RETRY_MS } = this.place;
      if (lastEventId === undefined || clock.elapsed() - lastHeard > patienceMs + retryMs) {
        throw new Failure('server_lost', 'the stream ended without an answer');
      }
      await pause(jittered(retryMs, clock), clock, ending);
      const response = await target
        .send({
          method: 'GET',
          headers: { ...headers, accept: ACCEPT_EVENTS, 'last-event-id': lastEventId },
          ...{ origin, ending, timeoutMs: patienceMs },
        })
        .catch((error: unknown) => {
          if (ending.ended) throw error;
          return undefined;
        });
      if (response === undefined) continue;
      if (isBusy(response)) {
        reader.discard(response);
        continue;
      }
      if (!isSuccess(response) || kindOf(response) !== 'events') {
        reader.discard(response);
        throw new Failure('server_lost', `coming back was answered with ${response.statusCode}`);
      }
      await this.read(response, resolve);
      lastHeard = clock.elapsed();
    }
  }
}

/** True if the server is busy or restarting, or a proxy says so. The stream may still exist. */
function isBusy({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode === 429 || (statusCode >= 502 && statusCode <= 504);
}

/**
 * True if a message is the answer to this request. An answer without an id counts too, because each POST sends only one
 * request.
 */
function answers(message: JsonRpcMessage, id: RequestId): message is JsonRpcResponse {
  if (!isResponse(message)) return false;
  const given = message.id as RequestId | null | undefined;
  return given === id || given === undefined || given === null;
}

/** Resolves after `ms`; rejects with a {@link Failure} when `ending` ends. */
export function pause(ms: number, clock: Clock, ending: Ending): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      release();
      resolve();
    });
    const release = ending.onEnd(() => {
      cancel();
      reject(new Failure('server_lost', 'given up'));
    });
  });
}
