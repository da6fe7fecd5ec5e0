import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../cluster/support/random.js';
import {
  notification,
  RawClient,
  request,
  response,
  type JsonRpc,
  type RawResponse,
  type SseReader,
} from '../support/mcp-http.js';
import type { SseEvent } from '../support/sse-reader.js';
import { BALANCER_HEADER } from './balancer.js';
import type { Call, Ledger } from './ledger.js';

export interface ClientOptions {
  url: string;
  random: Random;
  ledger: Ledger;
  /** The longest pause between two calls. */
  thinkMs: number;
  /** True if the client cuts its own connections and cancels calls, as a client in a changing network does. */
  restless: boolean;
  /** The tools that it calls. A tool that is in the list twice is called twice as often. */
  tools: readonly string[];
  /** The longest pause between two progress notifications of the tool `slow`, which sends 2 to 15 of them. */
  slowMs: number;
}

/**
 * A client that behaves like real ones. It repeats refused requests, resumes broken streams with its cursor, waits as long
 * as the server asks, and answers questions. Its ledger has all that it did and saw.
 */
export class ChaosClient {
  readonly ledger: Ledger;
  private readonly raw = new RawClient();
  private readonly random: Random;
  private readonly seen = new Set<string>();
  private readonly primed: Promise<void>;
  private setPrimed: () => void = () => undefined;
  private listening: SseReader | undefined;
  /** True once the client begins no new calls. */
  private finishing = false;
  /** True once the client opens no new connections either. */
  private stopped = false;
  private retryMs = 1000;

  constructor(private readonly options: ClientOptions) {
    this.ledger = options.ledger;
    this.random = options.random;
    this.primed = new Promise((resolve) => (this.setPrimed = resolve));
  }

  get sessionId(): string {
    return this.raw.sessionId ?? '';
  }

  /**
   * Opens the session and its GET stream. With `primed`, resolves when the client has a cursor. From that cursor on, no
   * message may be missing.
   */
  async start({ primed }: { primed: boolean }): Promise<void> {
    await this.raw.initialize(this.options.url, { capabilities: { elicitation: {} } });
    void this.listen();
    if (primed) await this.primed;
  }

  /** Calls tools, one after the other, until `finish()`. Resolves when the last one has ended. */
  async work(): Promise<void> {
    while (!this.finishing) {
      await this.callOnce();
      await pause(this.random.int(this.options.thinkMs >> 2, this.options.thinkMs));
    }
  }

  finish(): void {
    this.finishing = true;
  }

  stop(): void {
    this.finishing = true;
    this.stopped = true;
    this.raw.close();
  }

  /** Closes the session's GET stream, as a changing network does. */
  cutStream(): void {
    this.listening?.close();
  }

  private async listen(): Promise<void> {
    let cursor: string | undefined;
    while (!this.stopped) {
      const answer = await this.get(cursor);
      if (answer?.stream === undefined) {
        if (answer !== undefined && !isTrouble(answer)) {
          this.ledger.say(`GET ${cursor ?? ''}: ${answer.status} ${answer.body}`);
        }
        await pause(this.retryMs);
        continue;
      }
      const { stream } = answer;
      this.listening = stream;
      if (cursor !== undefined) this.ledger.resumed += 1;
      void stream.priming(60_000).then(this.setPrimed, () => undefined);
      for await (const event of stream) this.heard(event);
      cursor = stream.lastEventId ?? cursor;
      await this.waitFor(stream);
    }
  }

  private heard({ id, message }: SseEvent): void {
    if (message?.method !== 'notifications/message') {
      this.ledger.say(`on its own stream: ${JSON.stringify(message)}`);
      return;
    }
    const { key, n } = message.params?.['data'] as { key?: string; n: number };
    const name = key === undefined ? `${n}` : `${key} ${n}`;
    if (this.isRepeated(id)) this.ledger.repeated.push(`${name} (${id ?? 'no id'})`);
    this.ledger.arrivals.push({ name, at: Date.now() });
  }

  private isRepeated(id: string | undefined): boolean {
    if (id === undefined) return false;
    const repeated = this.seen.has(id);
    this.seen.add(id);
    return repeated;
  }

  private async callOnce(): Promise<void> {
    const { tools, slowMs, restless } = this.options;
    const tool = this.random.pick(tools);
    const call = this.ledger.begin(tool);
    const args = {
      key: call.key,
      ...(tool === 'slow' && { steps: this.random.int(2, 15), ms: this.random.int(20, slowMs) }),
      ...(tool === 'announce' && { count: this.random.int(1, 5) }),
    };
    const id = this.raw.nextId();
    const params = { name: tool, arguments: args, _meta: { progressToken: call.key } };
    const fidgets = tool === 'slow' && restless ? this.random.int(0, 9) : 9;
    if (fidgets === 0) this.cancelSoon(call, id);
    const answer = await this.post(request(id, 'tools/call', params));
    if (answer === undefined || answer.headers[BALANCER_HEADER] !== undefined) {
      this.ledger.end(call, 'no response', answer && `${answer.status}`);
    } else if (answer.stream === undefined) {
      this.ledger.end(call, endOf(answer), answer.status === 503 ? undefined : answer.body);
    } else {
      this.ledger.note(call, `on ${answer.node ?? 'a node'}`);
      if (fidgets === 1 || fidgets === 2) this.cutSoon(answer.stream);
      await this.follow(call, id, answer.stream);
    }
  }

  /** Follows a call until it has ended, over as many connections as that takes. */
  private async follow(call: Call, id: number, first: SseReader): Promise<void> {
    let stream = first;
    let cursor: string | undefined;
    for (;;) {
      for await (const event of stream) this.read(call, id, event);
      if (call.end !== undefined) return;
      cursor = stream.lastEventId ?? cursor;
      if (cursor === undefined) {
        this.ledger.end(call, 'no cursor');
        return;
      }
      await this.waitFor(stream);
      const next = await this.comeBack(call, cursor);
      if (next === undefined) return;
      stream = next;
    }
  }

  /** Resumes the stream of a call. Resolves with `undefined` if the call has ended. */
  private async comeBack(call: Call, cursor: string): Promise<SseReader | undefined> {
    while (!this.stopped) {
      const answer = await this.get(cursor);
      if (answer?.stream !== undefined) {
        call.resumed += 1;
        this.ledger.note(call, `resumed on ${answer.node ?? 'a node'}`);
        return answer.stream;
      }
      if (answer !== undefined && !isTrouble(answer)) {
        if (answer.status === 204)
          this.ledger.end(call, call.cancelled ? 'cancelled' : 'unanswered');
        else this.ledger.end(call, endOf(answer), `${answer.status} ${answer.body}`);
        return undefined;
      }
      await pause(this.retryMs);
    }
    return undefined;
  }

  private read(call: Call, id: number, { id: eventId, message }: SseEvent): void {
    if (message === undefined) return;
    if (this.isRepeated(eventId)) call.repeated.push(JSON.stringify(message));
    const { method, params } = message;
    if (method === 'notifications/progress') {
      call.progress.push(Number(params?.['progress']));
    } else if (method === 'elicitation/create') {
      const content = { key: params?.['message'] };
      void this.tell(response(message.id ?? '', { action: 'accept', content }));
    } else if (message.id === id) {
      this.ended(call, message);
    } else {
      this.ledger.say(`${call.key} got ${JSON.stringify(message)}`);
    }
  }

  private ended(call: Call, { result, error }: JsonRpc): void {
    if (call.end !== undefined) {
      call.repeated.push('an answer');
      return;
    }
    if (error !== undefined) {
      const reason = (error.data as { reason?: string } | undefined)?.reason;
      const known = reason === 'node_lost' || reason === 'node_closed' ? reason : 'error';
      this.ledger.end(call, known, known === 'error' ? JSON.stringify(error) : undefined);
      return;
    }
    const content = result?.['content'] as { text?: string }[] | undefined;
    const text = content?.[0]?.text ?? '';
    if (result?.['isError'] === true) this.ledger.end(call, 'error', text);
    else if (text === call.key) this.ledger.end(call, 'result');
    else this.ledger.end(call, 'unexpected', text);
  }

  private cutSoon(stream: SseReader): void {
    void pause(this.random.int(0, 1000)).then(() => stream.close());
  }

  private cancelSoon(call: Call, requestId: number): void {
    void pause(this.random.int(0, 1000)).then(() => {
      if (call.end !== undefined) return;
      call.cancelled = true;
      this.ledger.note(call, 'given up');
      return this.tell(notification('notifications/cancelled', { requestId }));
    });
  }

  /** Sends a message that asks for no answer, until it is acknowledged. */
  private async tell(message: JsonRpc): Promise<void> {
    while (!this.stopped) {
      const answer = await this.post(message);
      if (answer?.status === 202) return;
      if (answer !== undefined && !isTrouble(answer)) {
        this.ledger.say(`${JSON.stringify(message)}: ${answer.status} ${answer.body}`);
        return;
      }
      if (answer?.status === 503) this.ledger.refused += 1;
      await pause(200);
    }
  }

  private async waitFor({ retries }: SseReader): Promise<void> {
    this.retryMs = retries.at(-1) ?? this.retryMs;
    await pause(this.retryMs);
  }

  private async get(cursor: string | undefined): Promise<RawResponse | undefined> {
    const options = cursor === undefined ? {} : { lastEventId: cursor };
    const answer = await this.raw.get(this.options.url, options).catch(() => undefined);
    if (answer?.status === 503) this.ledger.refused += 1;
    return answer;
  }

  /** Sends a POST. Resolves with `undefined` if the connection broke before there was a response. */
  private async post(message: JsonRpc): Promise<RawResponse | undefined> {
    return this.raw.post(this.options.url, message).catch(() => undefined);
  }
}

/** Whether the response means that a later try may succeed. */
function isTrouble({ status }: RawResponse): boolean {
  return status === 503 || status === 502;
}

function endOf({ status }: RawResponse): 'refused' | 'session lost' | 'unexpected' {
  if (status === 503) return 'refused';
  return status === 404 ? 'session lost' : 'unexpected';
}
