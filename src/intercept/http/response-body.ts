/** Reads the responses of a server behind this library in the forms that the protocol allows. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../protocol/timing/clock.js';
import type { JsonRpcError, JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { costOf, MemoryBudget, REFUSAL_BYTES } from '../bounds.js';
import type { ResponseBody } from './response-coding.js';
import { bodyOf, isReadable } from './response-coding.js';
import type { Place, ServerSentEvent } from './event-stream.js';
import { EventStreamReader } from './event-stream.js';
import type { Refusal } from '../failure.js';
import { Failure } from '../failure.js';
import { messageOf, messagesOf, parseJson } from '../incoming-messages.js';

/**
 * How many characters of messages may wait to be handled. If more wait, the node stops reading, and the server has to wait.
 */
const MOST_WAITING = 256 * 1024;
/** How much each waiting message counts in addition to its characters. */
const WAITING_COST = 512;

/** Returns the kind of a response's body, or `undefined` if it is of neither kind. */
export function kindOf(response: IncomingMessage): 'json' | 'events' | undefined {
  if (!isReadable(response)) return undefined;
  const type = (response.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type === 'application/json') return 'json';
  return type === 'text/event-stream' ? 'events' : undefined;
}

export function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

/** Reads the bodies of all responses of one server within their bounds. If a body exceeds a bound, its connection ends. */
export class BodyReader {
  private readonly budget: MemoryBudget;

  constructor(
    private readonly parts: {
      clock: Clock;
      /** How long a body that has begun may be silent, and how long a body that is not needed may take. */
      timeoutMs: number;
      messageBytes: number;
    },
  ) {
    this.budget = new MemoryBudget(parts.messageBytes);
  }

  /** Reads the messages of a JSON body: one, or a batch. Rejects with a {@link Failure}. */
  async json(response: IncomingMessage, most?: number): Promise<JsonRpcMessage[]> {
    return messagesOf(await this.text(bodyOf(response), most));
  }

  /** Reads a response with an error status. Resolves in bounded time, with the part of the body that has arrived by then. */
  async refusal(response: IncomingMessage): Promise<Failure> {
    const status = response.statusCode ?? 0;
    const body = await this.beginning(bodyOf(response));
    const { error } = (parsedOrNothing(body) ?? {}) as { error?: Partial<JsonRpcError['error']> };
    const isError = Number.isSafeInteger(error?.code) && typeof error?.message === 'string';
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

  /**
   * Reads and drops a body that is not needed, so that its connection can be used again. If the body is long, its connection
   * is closed instead.
   */
  discard(response: IncomingMessage): void {
    void this.beginning(response);
  }

  /**
   * Reads an event stream until it ends. Resolves with `cut` if the server did not end it. `take` gets one message after the
   * other, with its length. Reading goes on before `take` has handled a message, unless too many characters wait. Rejects
   * with a {@link Failure} if a bound is exceeded, and with what `take` rejects with.
   */
  events(
    whole: IncomingMessage,
    place: Place,
    take: (message: JsonRpcMessage, length: number) => Promise<void>,
  ): Promise<'ended' | 'cut'> {
    const response = bodyOf(whole);
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        reject(error instanceof Error ? error : new Error(String(error)));
        response.destroy();
      };
      const share = this.budget.share(fail);
      let waiting = 0;
      const onEvent = ({ event, data }: ServerSentEvent): void => {
        if (event !== undefined && event !== 'message') return;
        const message = messageOf(data);
        if (message === undefined) return;
        const cost = data.length + WAITING_COST;
        waiting += cost;
        if (waiting > MOST_WAITING) response.pause();
        take(message, data.length)
          .catch(fail)
          .finally(() => {
            waiting -= cost;
            if (waiting <= MOST_WAITING) response.resume();
          });
      };
      const reader = new EventStreamReader(place, onEvent, (bytes) => share.hold(bytes));
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (response.destroyed) return;
        try {
          reader.feed(chunk);
        } catch (error) {
          fail(error);
        }
      });
      response.once('close', () => {
        share.release();
        resolve(response.complete ? 'ended' : 'cut');
      });
      if (response.destroyed) {
        share.release();
        resolve('cut');
      }
    });
  }

  /** Reads a whole body. Rejects with a {@link Failure} if the body breaks off, falls silent or is too long. */
  private text(response: ResponseBody, most?: number): Promise<string> {
    const { clock, timeoutMs } = this.parts;
    return new Promise((resolve, reject) => {
      const pieces: string[] = [];
      let cost = 0;
      let cancelTimer: (() => void) | undefined;
      const fail = (error: unknown): void => {
        reject(error instanceof Error ? error : new Error(String(error)));
        response.destroy();
      };
      const share = this.budget.share(fail, most);
      let heard = 0;
      const watch = (): void => {
        const left = heard + timeoutMs - clock.elapsed();
        if (left > 0) cancelTimer = clock.after(left, watch);
        else fail(new Failure('server_lost', `half a response, then nothing for ${timeoutMs} ms`));
      };
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (response.destroyed) return;
        pieces.push(chunk);
        cost += costOf(chunk);
        heard = clock.elapsed();
        try {
          share.hold(cost);
        } catch (error) {
          fail(error);
          return;
        }
        // A server may send only white space for a long time, to keep the connection open. So the time runs only from the
        // first other character.
        if (cancelTimer === undefined && /\S/.test(chunk)) watch();
      });
      const settle = (): void => {
        cancelTimer?.();
        share.release();
        if (response.complete) resolve(pieces.join(''));
        else reject(new Failure('server_lost', 'the response broke off'));
      };
      response.once('close', settle);
      if (response.destroyed) settle();
    });
  }

  /** Reads the part of a body that arrives within the allowed time and length. Never rejects. */
  private beginning(response: ResponseBody): Promise<string> {
    const { clock, timeoutMs } = this.parts;
    return new Promise((resolve) => {
      let text = '';
      const cancelTimer = clock.after(timeoutMs, () => response.destroy());
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > REFUSAL_BYTES) response.destroy();
      });
      const settle = (): void => {
        cancelTimer();
        resolve(text.slice(0, REFUSAL_BYTES));
      };
      response.once('close', settle);
      if (response.destroyed) settle();
    });
  }
}

function parsedOrNothing(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function locationOf({ statusCode = 0, headers }: IncomingMessage): { location?: string } {
  const { location } = headers;
  if (location === undefined || statusCode < 300 || statusCode >= 400) return {};
  return { location: withoutSecrets(location) };
}

/** Returns an address, absolute or not, without credentials and query, so that a log may contain it. */
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
