import { createParser } from 'eventsource-parser';
import type { Exchange, HttpRequest, Listener } from './exchange.js';
import type { Ledger } from './ledger.js';
import type { Asked, Place, Showing } from './records.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

/** The surroundings of a client. */
export interface ClientHost {
  scheduler: Scheduler;
  random: Random;
  ledger: Ledger;
  /** True from the moment after which nothing fails any more. Clients then come back with their cursors, and wait. */
  calm(): boolean;
  /** Returns the slot of a node that answers, as a load balancer would choose it. */
  anySlot(): number;
  slots: number;
  /** The longest time that clients wait before they come back. */
  returnMs: number;
  /** Sends a request to a node. Returns `undefined` if no node is in this slot. */
  request(
    slot: number,
    request: HttpRequest,
    listener: Listener,
    name: string,
    onWrite: (text: string, waiting: number) => void,
  ): Exchange | undefined;
}

export interface ClientOptions {
  name: string;
  principal: string;
  version: '2025-06-18' | '2025-11-25';
}

export interface Message {
  id?: string | number;
  method?: string;
  params?: Record<string, unknown>;
  result?: {
    mark?: string;
    level?: string;
    subscriptions?: string[];
    task?: { taskId: string };
    /** The status of a task. */
    status?: string;
    outcome?: string;
    isError?: boolean;
  };
  error?: { code: number; message?: string; data?: { reason?: string } };
}

interface Handlers {
  head?: (status: number, headers: Record<string, string>) => void;
  event?: (id: string) => void;
  message?: (message: Message, text: string) => void;
  /** Called with the address for POSTs, with HTTP+SSE only. */
  endpoint?: (address: string) => void;
  /** Called when the exchange is over: it was refused, is complete, or broke. */
  over?: (status: number | 'cut', how: 'end' | 'cut') => void;
}

const JSON_AND_SSE = 'application/json, text/event-stream';

/** The HTTP requests of one client. Sends them, reads the responses, and writes both into the ledger. */
export class ClientRequests {
  /** The session of the requests, or `undefined` if there is none yet. */
  sessionId: string | undefined;

  constructor(
    private readonly host: ClientHost,
    private readonly options: ClientOptions,
    /** Counts the connections of the client, to name them. */
    private readonly numbers = { connections: 0 },
  ) {}

  /** Returns the requests of the same client for another session. */
  ofOther(): ClientRequests {
    return new ClientRequests(this.host, this.options, this.numbers);
  }

  get(slot: number, cursor: string | undefined, what: string, on: Handlers) {
    const headers: Record<string, string> = { ...this.headers(), accept: 'text/event-stream' };
    if (cursor !== undefined) headers['last-event-id'] = cursor;
    const asked = this.asked(what, slot, 'GET', []);
    return this.send(slot, { method: 'GET', headers }, asked, on, cursor);
  }

  post(what: string, slot: number, messages: object[], on: Handlers) {
    const headers: Record<string, string> = {
      ...this.headers(),
      ...{ accept: JSON_AND_SSE, 'content-type': 'application/json' },
    };
    const body = messages.length === 1 ? messages[0] : messages;
    const asked = this.asked(what, slot, 'POST', messages);
    return this.send(slot, { method: 'POST', headers, body }, asked, on);
  }

  headers(): Record<string, string> {
    return {
      'x-user': this.options.principal,
      ...(this.sessionId !== undefined && {
        'mcp-session-id': this.sessionId,
        'mcp-protocol-version': this.options.version,
      }),
    };
  }

  asked(what: string, slot: number, method: string, messages: object[]): Asked {
    const asked: Asked = {
      ...{ what, client: this.options.name, sessionId: this.sessionId, slot, method, messages },
      ...{ at: this.host.scheduler.elapsed, status: undefined, retryAfter: undefined },
      principal: this.options.principal,
      ...{ answeredAt: undefined, expected: undefined, exchange: undefined },
      ...{ cursor: undefined, isLegacy: false },
    };
    this.host.ledger.asked.push(asked);
    return asked;
  }

  send(
    slot: number,
    request: HttpRequest,
    asked: Asked,
    on: Handlers,
    cursor?: string,
  ): Exchange | undefined {
    const { scheduler, ledger } = this.host;
    this.numbers.connections += 1;
    const connection = `${this.options.name}.${this.numbers.connections}`;
    let status: number | 'cut' | undefined;
    let showing: Showing | undefined;
    let body = '';
    const parser = createParser({
      onEvent: ({ event, id, data }) => {
        if (event === 'endpoint') {
          on.endpoint?.(data);
          return;
        }
        if (id !== undefined) {
          const { stream, n } = placeOf(id);
          showing?.shown.push({ id, stream, n, data, at: scheduler.elapsed });
          this.note(
            `${connection} shows ${stream} ${n} ${data === '' ? '(primed)' : markOf(data)}`,
          );
          on.event?.(id);
        }
        if (data !== '') on.message?.(JSON.parse(data) as Message, data);
      },
    });
    const over = (how: 'end' | 'cut'): void => {
      asked.answeredAt ??= scheduler.elapsed;
      if (status === undefined) {
        status = 'cut';
        asked.status = 'cut';
      }
      this.note(
        `${connection} ${how === 'end' ? 'is complete' : 'broke'} (${asked.what}: ${status})`,
      );
      if (showing !== undefined) {
        showing.ended = how;
        showing.endedAt = scheduler.elapsed;
      } else if (status === 200 && how === 'end' && body !== '') {
        const parsed = JSON.parse(body) as Message | Message[];
        for (const message of [parsed].flat()) on.message?.(message, JSON.stringify(message));
      }
      on.over?.(status, how);
    };
    const listener: Listener = {
      head: (code, headers) => {
        status = code;
        asked.status = code;
        asked.retryAfter = headers['retry-after'];
        asked.answeredAt = scheduler.elapsed;
        on.head?.(code, headers);
        if (headers['content-type'] !== 'text/event-stream') return;
        showing = {
          ...{ connection, client: this.options.name },
          sessionId: headers['mcp-session-id'] ?? '',
          nodeId: headers['x-anynode-node'] ?? '',
          method: request.method as 'GET' | 'POST',
          cursor: cursor === undefined ? undefined : placeOf(cursor),
          ...{ at: asked.at, shown: [], ended: undefined, endedAt: undefined },
        };
        // The events of HTTP+SSE have no ids, so `LegacyClient` itself writes down what it was shown.
        if (request.path === undefined) ledger.showings.push(showing);
      },
      data: (text) => {
        if (showing === undefined) body += text;
        else parser.feed(text);
      },
      end: () => over('end'),
      cut: () => over('cut'),
    };
    const onWrite = (text: string, waiting: number): void => {
      const sessionId = request.headers['mcp-session-id'] ?? '';
      const at = scheduler.elapsed;
      const resumed = cursor !== undefined;
      for (const [, id = ''] of text.matchAll(WRITTEN)) {
        ledger.written.push({ connection, sessionId, place: placeOf(id), at, resumed, waiting });
      }
    };
    this.note(
      `${connection} ${asked.method} ${asked.what} to slot ${slot}${cursor === undefined ? '' : ` after ${cursor}`}`,
    );
    if (cursor !== undefined) {
      asked.cursor = placeOf(cursor);
      const sessionId = request.headers['mcp-session-id'] ?? '';
      ledger.resumptions.push({ sessionId, place: placeOf(cursor), at: scheduler.elapsed });
    }
    const exchange = this.host.request(slot, request, listener, connection, onWrite);
    asked.exchange = exchange;
    if (exchange === undefined) this.host.scheduler.after(1, () => over('cut'));
    return exchange;
  }

  note(text: string): void {
    this.host.scheduler.note(`${this.options.name} ${text}`);
  }
}

/** Finds the events with a message in a text that a node writes. */
const WRITTEN = /^event: message\nid: (.*)\n/gm;

function placeOf(id: string): Place {
  const [, stream = '', n = ''] = id.split('.');
  return { id, stream, n: parseInt(n, 36) };
}

function markOf(data: string): string {
  return /"mark":"([^"]*)"/.exec(data)?.[1] ?? data.slice(0, 60);
}
