import type { IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';
import type { JsonRpc } from './json-rpc.js';

export interface SseEvent {
  /** The cursor, or `undefined` if the event had none. */
  id: string | undefined;
  event: string | undefined;
  data: string;
  /** The reconnection time that came with the event, in ms. */
  retry: number | undefined;
  /** The data as a JSON-RPC message, or `undefined` if the data are none. */
  message: JsonRpc | undefined;
}

/** How a stream ended: by the server, by a broken connection, or by `close()`. */
export type StreamEnd = 'end' | 'cut' | 'closed';

type Predicate = (event: SseEvent) => boolean;

/** Matches a notification or a request of the server. */
export function hasMethod(method: string): Predicate {
  return ({ message }) => message?.method === method;
}

/** Matches the response to a request. */
export function answers(id: string | number): Predicate {
  return ({ message }) => message?.id === id && message.method === undefined;
}

/** Reads Server-Sent Events from a response, and keeps them all, in order. */
export class SseReader {
  /** Events with data. */
  readonly events: SseEvent[] = [];
  /** Events without data, which only carry a cursor. */
  readonly primings: SseEvent[] = [];
  readonly comments: string[] = [];
  /** The `retry` fields, in ms. */
  readonly retries: number[] = [];
  /** The cursor to resume with: the id of the last event, which may be a priming event. */
  lastEventId: string | undefined;
  /** Resolves when the stream has ended in any way. Never rejects. */
  readonly ended: Promise<StreamEnd>;

  readonly #response: IncomingMessage;
  readonly #given = new Set<SseEvent>();
  readonly #watchers = new Set<() => void>();
  #end: StreamEnd | undefined;
  #closing = false;

  constructor(response: IncomingMessage) {
    this.#response = response;
    let retry: number | undefined;
    const parser = createParser({
      onRetry: (ms) => {
        retry = ms;
        this.retries.push(ms);
      },
      onComment: (comment) => void this.comments.push(comment),
      onEvent: ({ id, event, data }) => {
        const read = { id, event, data, retry, message: parse(data) };
        retry = undefined;
        this.lastEventId = id ?? this.lastEventId;
        (data === '' ? this.primings : this.events).push(read);
      },
    });
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      parser.feed(chunk);
      this.#look();
    });
    response.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      response.once('close', () => {
        this.#end = this.#closing ? 'closed' : response.complete ? 'end' : 'cut';
        this.#look();
        resolve(this.#end);
      });
    });
  }

  /** The JSON-RPC messages so far. */
  get messages(): JsonRpc[] {
    return this.events.flatMap(({ message }) => (message === undefined ? [] : [message]));
  }

  /** How the stream ended, or `undefined` while it is open. */
  get endedBy(): StreamEnd | undefined {
    return this.#end;
  }

  /**
   * Resolves with the next event that matches and was not returned yet. Events that do not match stay for later calls.
   * Rejects if the stream ends first, and after `timeoutMs`. The error lists the other events.
   */
  next(predicate: Predicate = () => true, timeoutMs = 20_000): Promise<SseEvent> {
    return this.#wait('a matching event', timeoutMs, () => {
      const found = this.events.find((event) => !this.#given.has(event) && predicate(event));
      if (found !== undefined) this.#given.add(found);
      return found;
    });
  }

  /** Resolves with the first `count` events, as soon as these have come. */
  async first(count: number, timeoutMs = 20_000): Promise<SseEvent[]> {
    return this.#wait(`${count} events`, timeoutMs, () =>
      this.events.length >= count ? this.events.slice(0, count) : undefined,
    );
  }

  /** Resolves with the first priming event, at once if it has come already. */
  priming(timeoutMs = 20_000): Promise<SseEvent> {
    return this.#wait('a priming event', timeoutMs, () => this.primings[0]);
  }

  /** Resolves when `count` comments have come. */
  comment(count = 1, timeoutMs = 20_000): Promise<string> {
    return this.#wait(`${count} comments`, timeoutMs, () => this.comments[count - 1]);
  }

  /** Resolves when the stream has ended. Rejects if it has not ended after `timeoutMs`. */
  untilEnded(timeoutMs = 20_000): Promise<StreamEnd> {
    return this.#wait('the end', timeoutMs, () => this.#end);
  }

  /** Yields all events from the first on, until the stream ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SseEvent, void, undefined> {
    for (let i = 0; ; i++) {
      const event = await this.#wait('', Infinity, () => this.events[i] ?? this.#end);
      if (typeof event === 'string') return;
      yield event;
    }
  }

  /** Stops reading from the socket, as a slow client does. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  /** Destroys the connection. */
  close(): void {
    this.#closing = true;
    this.#response.destroy();
  }

  #look(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #wait<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(watcher);
        settle();
      };
      const fail = (why: string): void =>
        finish(() => reject(new Error(`Waited for ${what}, but ${why}. ${this.#history()}`)));
      const watcher = (): void => {
        const found = look();
        if (found !== undefined) finish(() => resolve(found));
        else if (this.#end !== undefined) fail(`the stream is over (${this.#end})`);
      };
      const expire = (): void => fail(`it did not come within ${timeoutMs} ms`);
      const timer = timeoutMs === Infinity ? undefined : setTimeout(expire, timeoutMs).unref();
      this.#watchers.add(watcher);
      watcher();
    });
  }

  #history(): string {
    const data = this.events.map((event) => `${event.id ?? '-'} ${event.data}`);
    const shown = data.slice(-10).map((line) => `\n  ${line.slice(0, 300)}`);
    return `${data.length} events came, the last of them:${shown.join('') || ' none'}`;
  }
}

function parse(data: string): JsonRpc | undefined {
  try {
    return JSON.parse(data) as JsonRpc;
  } catch {
    return undefined;
  }
}
