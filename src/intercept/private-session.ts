/** A session that a server behind this library has given to one replica. Only that replica knows its id. */
import { pauseAfter } from '../protocol/timing/backoff.js';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import type { JsonRpcMessage } from '../protocol/json/jsonrpc.js';
import type { Logger } from '../options/public-types.js';
import type { BodyReader } from './http/response-body.js';
import { isSuccess, kindOf } from './http/response-body.js';
import { ACCEPT_EVENTS, pause, RETRY_MS } from './intercepted-call.js';
import { Ending } from './ending.js';
import type { Place } from './http/event-stream.js';
import { breaksBounds, hasForgotten } from './failure.js';
import type { Target } from './http/http-exchange.js';
import type { Origin } from './http/origin.js';
import type { RefusalLog } from './refusal-log.js';

/** The parts that are needed to reach a server behind this library. */
export interface InterceptedParts {
  target: Target;
  reader: BodyReader;
  clock: Clock;
  logger: Logger;
  /** How long the server may take for everything but the answer to a request. */
  timeoutMs: number;
  refusals: RefusalLog;
  /** Returns the headers with which the server continues the current trace. */
  traceHeaders?: (() => Record<string, string> | undefined) | undefined;
}

export interface PrivateSessionParts extends InterceptedParts {
  /** The id of the session. `undefined`: the server has no sessions. */
  id: string | undefined;
  /** The negotiated protocol version. */
  version: string;
  /** Counts the sessions of one replica. */
  generation: number;
  /** `restarts` of the target at the time when the session was asked for. */
  restarts: number;
  origin: () => Origin | undefined;
  /** Called with each message of the server outside of a call. Never rejects. */
  onMessage: (message: JsonRpcMessage) => Promise<void>;
  /** Called when the server no longer knows the session. Rejects if the server does not give another one. */
  onForgotten: () => Promise<unknown>;
}

/** The longest pause between two attempts to open the GET stream. */
const MOST_PAUSE_MS = 30_000;
/**
 * How long calls wait for the GET stream to be open, because most servers drop a message that finds no stream. Some servers
 * send the head of the response only with the first message, so this time is short.
 */
const OPENING_MS = 250;

export class PrivateSession {
  readonly generation: number;
  private readonly ending = new Ending();
  private opened: Promise<void> | undefined;
  private settleOpened: () => void = () => undefined;

  constructor(private readonly parts: PrivateSessionParts) {
    this.generation = parts.generation;
  }

  /** The headers of every request of the session. */
  get headers(): Record<string, string> {
    const { id, version } = this.parts;
    return { 'mcp-protocol-version': version, ...(id !== undefined && { 'mcp-session-id': id }) };
  }

  /**
   * True if the server was down at some time since it gave out this session. If a process of the server answers now, it is a
   * new one.
   */
  get isLost(): boolean {
    return this.parts.target.restarts !== this.parts.restarts;
  }

  /**
   * Keeps the GET stream open from now on. Resolves when the stream is open, when the first attempt to open it has failed, or
   * after `OPENING_MS`.
   */
  listen(): Promise<void> {
    this.opened ??= new Promise((resolve) => {
      const cancel = this.parts.clock.after(OPENING_MS, resolve);
      this.settleOpened = () => {
        cancel();
        resolve();
      };
      this.keepOpen()
        .catch(() => undefined)
        .finally(this.settleOpened); // the session has ended
    });
    return this.opened;
  }

  /** Ends the GET stream. */
  end(): void {
    this.ending.end();
  }

  /** Sends a DELETE for the session to the server. Never rejects. */
  async remove(): Promise<void> {
    this.end();
    const { target, reader, id, origin, timeoutMs } = this.parts;
    if (id === undefined) return;
    try {
      const response = await target.send({
        ...{ method: 'DELETE' as const, headers: this.headers, origin: origin(), timeoutMs },
      });
      reader.discard(response);
    } catch {
      // The server is gone, or lets the session expire.
    }
  }

  private async keepOpen(): Promise<void> {
    const { clock } = this.parts;
    const { ending } = this;
    const place: Place = { lastEventId: undefined, retryMs: undefined };
    let failures = 0;
    for (;;) {
      const outcome = await this.openOnce(place).catch((error: unknown) => this.failed(error));
      this.settleOpened();
      if (outcome === 'none' || ending.ended) return;
      failures = outcome === 'failed' ? failures + 1 : 0;
      const { retryMs = RETRY_MS } = place;
      const pauses = { firstMs: retryMs, longestMs: MOST_PAUSE_MS };
      const delay = pauseAfter(Math.max(0, failures - 1), pauses);
      await pause(jittered(delay, clock), clock, ending);
    }
  }

  /** Logs a stream that exceeded a bound. The stream is opened again, with longer and longer pauses. */
  private failed(error: unknown): 'failed' {
    if (breaksBounds(error)) this.parts.refusals.streamEnded(error);
    return 'failed';
  }

  /** Opens the stream once and reads it. `none`: the server offers no such stream. */
  private async openOnce(place: Place): Promise<'read' | 'failed' | 'none'> {
    const { target, reader, origin, onMessage, onForgotten, id } = this.parts;
    const { ending } = this;
    if (this.isLost) {
      await onForgotten();
      return 'failed';
    }
    const { lastEventId } = place;
    const headers = { ...this.headers, accept: ACCEPT_EVENTS };
    const response = await target.send({
      ...{ method: 'GET' as const, origin: origin(), ending },
      headers: lastEventId === undefined ? headers : { ...headers, 'last-event-id': lastEventId },
    });
    if (isSuccess(response) && kindOf(response) === 'events') {
      this.settleOpened();
      await reader.events(response, place, onMessage);
      return 'read';
    }
    if (isSuccess(response)) {
      response.destroy();
      // Some servers answer with a page or with 204. No messages will come.
      return 'none';
    }
    const refusal = await reader.refusal(response);
    const { status } = refusal.refusal ?? {};
    if (status === 405 || status === 501 || (status === 404 && id === undefined)) return 'none';
    if (lastEventId !== undefined && status === 400) {
      // The server no longer has the messages after this event id, or never had them. So the next attempt does not send an
      // event id.
      place.lastEventId = undefined;
      return 'read';
    }
    if (id !== undefined && hasForgotten(refusal)) await onForgotten();
    return 'failed';
  }
}
