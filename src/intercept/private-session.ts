/** A session that a server behind this library has given to one replica. Its id is known to nobody else. */
import { pauseAfter } from '../protocol/backoff.js';
import type { Clock } from '../protocol/clock.js';
import { jittered } from '../protocol/clock.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import type { Logger } from '../options/types.js';
import type { BodyReader } from './http/response-body.js';
import { isSuccess, kindOf } from './http/response-body.js';
import { ACCEPT_EVENTS, pause, RETRY_MS } from './intercepted-call.js';
import { Ending } from './ending.js';
import type { Place } from './http/event-stream.js';
import { breaksBounds, hasForgotten } from './failure.js';
import type { Target } from './http/http-exchange.js';
import type { Origin } from './http/origin.js';
import type { RefusalLog } from './refusal-log.js';

/** How a server behind this library is reached. */
export interface InterceptedParts {
  target: Target;
  reader: BodyReader;
  clock: Clock;
  logger: Logger;
  /** How long the server may take for anything but to answer a request. */
  timeoutMs: number;
  refusals: RefusalLog;
}

export interface PrivateSessionParts extends InterceptedParts {
  /** `undefined`: the server keeps no sessions. */
  id: string | undefined;
  /** As negotiated. */
  version: string;
  /** Counts the sessions of one replica. */
  generation: number;
  /** Of the target, when the session was asked for. */
  restarts: number;
  origin: () => Origin | undefined;
  /** What the server says outside of a call. Never rejects. */
  onMessage: (message: JsonRpcMessage) => Promise<void>;
  /** The server does not know the session any more. Rejects if it does not give another one. */
  onForgotten: () => Promise<unknown>;
}

/** Longest pause between two attempts to have the GET stream open. */
const MOST_PAUSE_MS = 30_000;
/**
 * A message that finds no GET stream is lost with most servers, so calls wait for it to be open; but not for servers that
 * hold the head of the response back until there is something to send.
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

  /** With every request of the session. */
  get headers(): Record<string, string> {
    const { id, version } = this.parts;
    return { 'mcp-protocol-version': version, ...(id !== undefined && { 'mcp-session-id': id }) };
  }

  /** The server has not listened since it gave this session: another process of it answers now, or none. */
  get isLost(): boolean {
    return this.parts.target.restarts !== this.parts.restarts;
  }

  /** Keeps the GET stream open from now on. Resolves when it is, or the server has none, or does not say. */
  listen(): Promise<void> {
    this.opened ??= new Promise((resolve) => {
      const cancel = this.parts.clock.after(OPENING_MS, resolve);
      this.settleOpened = () => {
        cancel();
        resolve();
      };
      this.keepOpen()
        .catch(() => undefined)
        .finally(this.settleOpened); // it has ended
    });
    return this.opened;
  }

  /** Ends the GET stream. */
  end(): void {
    this.ending.end();
  }

  /** Tells the server that the session is over; never rejects. */
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
      // It is gone, or will find out by itself that nobody comes any more.
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

  /** The stream is opened again, with longer and longer pauses. */
  private failed(error: unknown): 'failed' {
    if (breaksBounds(error)) this.parts.refusals.streamEnded(error);
    return 'failed';
  }

  /** `none`: the server offers no such stream. */
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
      // Some servers answer with a page, or with 204: nothing will come.
      return 'none';
    }
    const refusal = await reader.refusal(response);
    const { status } = refusal.refusal ?? {};
    if (status === 405 || status === 501 || (status === 404 && id === undefined)) return 'none';
    if (lastEventId !== undefined && status === 400) {
      // What comes after it is not kept any more, or never was.
      place.lastEventId = undefined;
      return 'read';
    }
    if (id !== undefined && hasForgotten(refusal)) await onForgotten();
    return 'failed';
  }
}
