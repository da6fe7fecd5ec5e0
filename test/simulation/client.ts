import type { ClientHost, ClientOptions, Message } from './client-requests.js';
import { ClientRequests } from './client-requests.js';
import type { Exchange } from './exchange.js';
import type { CallRecord } from './records.js';
import type { ToolCall } from './plan.js';
import { TaskClient } from './task-client.js';

/** The requests of one POST, on the client's side. */
interface Call {
  record: CallRecord;
  cursor: string | undefined;
  exchange: Exchange | undefined;
  /** True if the client is about to resume the stream, or its request to resume is on its way. */
  returning: boolean;
  /** Called with each answer. */
  onAnswer: (message: Message) => void;
}

/** An MCP client with one session. It calls tools, listens, answers questions, breaks connections off, and comes back. */
export class SimClient {
  /** True once the session was deleted, or the client has left. */
  over = false;
  listening: Exchange | undefined;
  /** The id of the last event of the standalone stream. */
  cursor: string | undefined;
  wantsToListen = false;
  readonly calls: Call[] = [];
  private lastId = 0;
  private reuses = 0;
  private relisten = false;
  private readonly answered = new Set<string>();
  private readonly requests: ClientRequests;
  readonly tasks: TaskClient;

  constructor(
    private readonly host: ClientHost,
    readonly options: ClientOptions,
  ) {
    this.tasks = new TaskClient(host, this);
    this.requests = new ClientRequests(host, options);
  }

  nextId(): number {
    return this.lastId++;
  }

  get sessionId(): string | undefined {
    return this.requests.sessionId;
  }

  initialize(slot: number): void {
    let sessionId: string | undefined;
    const again = (status: number | 'cut'): void => {
      if (this.sessionId !== undefined) return;
      this.soon(() => this.initialize(this.host.anySlot()), pauseAfter(status));
    };
    this.requests.post('initialize', slot, [this.initializeMessage()], {
      head: (_, headers) => (sessionId = headers['mcp-session-id']),
      message: (answer) => {
        if (answer.result === undefined || this.sessionId !== undefined) return;
        this.requests.sessionId = sessionId;
        this.requests.note(`has session ${sessionId ?? '?'}`);
        this.tell('initialized', { jsonrpc: '2.0', method: 'notifications/initialized' });
      },
      over: again,
    });
  }

  private initializeMessage(): object {
    const { name, version } = this.options;
    return {
      ...{ jsonrpc: '2.0', id: this.nextId(), method: 'initialize' },
      params: {
        ...{ protocolVersion: version, capabilities: { elicitation: {} } },
        clientInfo: { name, version: '1' },
      },
    };
  }

  /** Begins another session. After `leavesAfterMs` it is deleted. With `undefined`, it is left behind. */
  begin(slot: number, leavesAfterMs: number | undefined): void {
    if (this.over) return;
    const requests = this.requests.ofOther();
    requests.post('initialize', slot, [this.initializeMessage()], {
      head: (_, headers) => (requests.sessionId = headers['mcp-session-id']),
      message: ({ result }) => {
        const { sessionId } = requests;
        if (result === undefined || sessionId === undefined || leavesAfterMs === undefined) return;
        this.host.scheduler.after(leavesAfterMs, () => {
          const at = this.host.anySlot();
          const asked = requests.asked('delete', at, 'DELETE', []);
          requests.send(at, { method: 'DELETE', headers: requests.headers() }, asked, {
            over: (status) => {
              if (status !== 200) return;
              this.host.ledger.deletedAt.set(sessionId, this.host.scheduler.elapsed);
            },
          });
        });
      },
    });
  }

  /** POSTs a notification or an answer, and repeats that until a node has accepted it. */
  tell(what: string, message: object, then: (status: number) => void = () => undefined): void {
    const attempt = (): void => {
      this.requests.post(what, this.host.anySlot(), [message], {
        over: (status) => {
          if (this.over) return;
          if (status === 'cut' || status === 503) this.soon(attempt);
          else then(status);
        },
      });
    };
    attempt();
  }

  /** Calls one tool for each element of `calls`, all in one POST. */
  call(slot: number, calls: ToolCall[]): void {
    if (this.sessionId === undefined || this.over) return;
    const messages = calls.map((call) => {
      const id = this.nextId();
      return toolCall(id, `p${id}`, call);
    });
    this.request('call', slot, messages);
  }

  /** Calls a tool with the id of a call that was answered, or of one that still runs. */
  reuse(slot: number, which: number, running: boolean, call: ToolCall): void {
    if (this.over) return;
    const ids = new Set(this.calls.flatMap(({ record }) => record.ids));
    const usable = [...ids].filter((id) => {
      const records = this.calls.flatMap(({ record }) => (record.ids.includes(id) ? record : []));
      // An id is not used again if its request was cancelled, because the cancellation may arrive late. Nor is it used
      // again if the connection broke, because the request may still run.
      if (records.some(({ cancelled }) => cancelled.has(id))) return false;
      const open = records.filter(({ state }) => state === 'open');
      const over = records.filter(
        ({ state, status }) => state === 'answered' || (state === 'refused' && status === 400),
      );
      if (open.length + over.length < records.length) return false;
      return running ? open.some(({ status }) => status === 200) : open.length === 0;
    });
    const id = usable[which % Math.max(usable.length, 1)];
    if (id === undefined) return;
    this.reuses += 1;
    const message = toolCall(JSON.parse(id) as number, `p${id}.${this.reuses}`, call);
    this.request('reuse', slot, [message]);
  }

  /** Changes the log level of the session. */
  setLevel(slot: number): void {
    if (this.sessionId === undefined || this.over) return;
    const id = this.nextId();
    const level = `level${id}`;
    const message = { jsonrpc: '2.0', id, method: 'logging/setLevel', params: { level } };
    this.request('setLevel', slot, [message], { name: 'level', value: level });
  }

  /** Subscribes to a resource, or ends a subscription. */
  subscribe(slot: number, uri: string, on: boolean): void {
    if (this.sessionId === undefined || this.over) return;
    const id = this.nextId();
    const method = on ? 'resources/subscribe' : 'resources/unsubscribe';
    const change = { name: uri, value: on ? 'on' : 'off' };
    const message = { jsonrpc: '2.0', id, method, params: { uri } };
    this.request('subscribe', slot, [message], change);
  }

  /** POSTs requests and waits for their answers. If the connection breaks, the client resumes the stream on any node. */
  request(
    what: string,
    slot: number,
    messages: { id: string | number; params: object }[],
    change?: CallRecord['change'],
    onAnswer: (message: Message) => void = () => undefined,
  ): CallRecord {
    const record: CallRecord = {
      client: this.options.name,
      sessionId: this.sessionId ?? '',
      ids: messages.map(({ id }) => JSON.stringify(id)),
      tokens: new Map(messages.map(({ id, params }) => [JSON.stringify(id), tokenOf(params)])),
      at: this.host.scheduler.elapsed,
      ...{ status: undefined, stream: undefined, cancelled: new Set(), answers: new Map() },
      ...{ state: 'open', endedAt: undefined, change, found: new Map() },
    };
    this.host.ledger.calls.push(record);
    const call: Call = {
      ...{ record, cursor: undefined, exchange: undefined, returning: false, onAnswer },
    };
    this.calls.push(call);
    call.exchange = this.requests.post(what, slot, messages, {
      head: (status) => (record.status = status),
      event: (id) => this.movedTo(call, id),
      message: (message) => this.onMessage(message, call),
      over: (status, how) => {
        call.exchange = undefined;
        record.status = status;
        if (status === 200) this.brokeOff(call, how);
        else if (status === 'cut') this.close(call, 'lost');
        else this.close(call, status === 404 ? 'gone' : 'refused');
      },
    });
    return record;
  }

  /** Opens a GET, while an earlier GET may still be open. */
  listen(slot: number, withCursor: boolean): void {
    if (this.sessionId === undefined || this.over) return;
    this.wantsToListen = true;
    const cursor = withCursor ? this.cursor : undefined;
    const exchange = this.requests.get(slot, cursor, 'listen', {
      event: (id) => (this.cursor = id),
      message: (message) => this.onMessage(message, undefined),
      over: (status) => {
        if (this.listening !== exchange && exchange !== undefined) return; // a newer one is there
        this.listening = undefined;
        if (this.over || !this.wantsToListen) return;
        if (status === 404) this.wantsToListen = false;
        else if (status === 400) this.cursor = undefined;
        if (this.wantsToListen) this.listenSoon(pauseAfter(status));
      },
    });
    this.listening = exchange;
  }

  private listenSoon(pauseMs = 0): void {
    if (this.relisten) return;
    this.relisten = true;
    this.soon(() => {
      this.relisten = false;
      if (this.listening !== undefined || !this.wantsToListen) return;
      const withCursor = this.host.calm() || this.host.random.chance(0.8);
      this.listen(this.host.anySlot(), withCursor);
    }, pauseMs);
  }

  cancel(slot: number, which: number): void {
    const running = this.calls.filter(({ record }) => record.state === 'open');
    const call = running[which % Math.max(running.length, 1)];
    if (call === undefined) return;
    const [text = ''] = call.record.ids;
    const params = { requestId: JSON.parse(text) as string | number };
    const message = { jsonrpc: '2.0', method: 'notifications/cancelled', params };
    const askedAt = this.host.scheduler.elapsed;
    this.requests.post('cancel', slot, [message], {
      over: (status) => {
        if (status !== 202) return;
        const { sessionId } = call.record;
        const acknowledgedAt = this.host.scheduler.elapsed;
        this.host.ledger.cancellations.push({ sessionId, id: text, askedAt, acknowledgedAt });
      },
    });
    // The cancellation may take effect before the client is told, and for any request with this id.
    for (const { record } of running) if (record.ids.includes(text)) record.cancelled.add(text);
  }

  delete(slot: number): void {
    const { sessionId } = this;
    if (sessionId === undefined) return;
    const asked = this.requests.asked('delete', slot, 'DELETE', []);
    this.requests.send(slot, { method: 'DELETE', headers: this.requests.headers() }, asked, {
      over: (status) => {
        if (status === 200) {
          this.host.ledger.deletedAt.set(sessionId, this.host.scheduler.elapsed);
          this.over = true;
          for (const call of this.calls) if (call.exchange === undefined) this.close(call, 'left');
          this.probe();
        }
      },
    });
  }

  /** Asks every node for the session, after the session has ended. */
  private probe(): void {
    for (let slot = 0; slot < this.host.slots; slot += 1) {
      const id = this.nextId();
      const call = { jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'run' } };
      this.requests.post('probe', slot, [call], {});
      this.requests.get(slot, undefined, 'probe', {});
    }
  }

  /** Breaks off one of the connections of the client. */
  breakOff(which: number, noticedMs: number): void {
    const open = [this.listening, ...this.calls.map(({ exchange }) => exchange)].filter(
      (exchange) => exchange?.isOpen === true,
    );
    const exchange = open[which % Math.max(open.length, 1)];
    if (exchange === undefined) return;
    this.requests.note(`breaks ${exchange.name} off`);
    exchange.hangUp(noticedMs);
  }

  /** Stops reading one of the connections of the client for `ms`. */
  stall(which: number, ms: number): void {
    const open = [this.listening, ...this.calls.map(({ exchange }) => exchange)].filter(
      (exchange) => exchange?.isOpen === true,
    );
    const exchange = open[which % Math.max(open.length, 1)];
    if (exchange === undefined) return;
    exchange.stopReading();
    this.host.scheduler.after(ms, () => exchange.goOnReading());
  }

  /** Resumes every stream that the client can resume. */
  comeBack(): void {
    if (this.over) return;
    for (const call of this.calls) {
      if (call.record.state === 'open' && call.exchange === undefined) this.resume(call);
    }
    if (this.wantsToListen && this.listening === undefined) this.listenSoon();
    this.tasks.comeBack();
  }

  /** Leaves for good. */
  leave(): void {
    this.over = true;
    this.wantsToListen = false;
    for (const call of this.calls) if (call.record.state === 'open') this.close(call, 'left');
    for (const exchange of [this.listening, ...this.calls.map((call) => call.exchange)]) {
      exchange?.hangUp(0);
    }
  }

  /** Whether the client waits for the answer to a call. */
  get waits(): boolean {
    return this.calls.some(({ record }) => record.state === 'open');
  }

  private movedTo(call: Call, id: string): void {
    call.cursor = id;
    call.record.stream = id.split('.')[1];
  }

  private onMessage(message: Message, call: Call | undefined): void {
    const { id, method, result, error } = message;
    if (method === 'elicitation/create' && typeof id === 'string') {
      this.answer(id, message.params?.mark as string);
    }
    if (method !== undefined || call === undefined) return;
    const key = JSON.stringify(id);
    const answers = call.record.answers.get(key) ?? [];
    answers.push(
      result?.mark ??
        (error === undefined ? 'empty' : `error ${error.code} ${error.data?.reason ?? ''}`),
    );
    call.record.answers.set(key, answers);
    call.onAnswer(message);
    if (result?.level !== undefined) {
      const on = (result.subscriptions ?? []).map((uri): [string, string] => [uri, 'on']);
      call.record.found.set(key, new Map([['level', result.level], ...on]));
    }
    if (call.record.ids.every((each) => call.record.answers.has(each)))
      this.close(call, 'answered');
  }

  /** Answers a question once, however often the question was shown. */
  private answer(id: string, mark: string): void {
    if (this.answered.has(id)) return;
    this.answered.add(id);
    const message = { jsonrpc: '2.0', id, result: { action: 'accept', content: { mark } } };
    this.host.scheduler.after(this.host.random.next() * 400, () => {
      this.tell(`answer to ${mark}`, message, (status) => {
        if (status === 202) this.host.ledger.answerTaken(mark);
      });
    });
  }

  private brokeOff(call: Call, how: 'end' | 'cut', pauseMs = 0): void {
    if (call.record.state !== 'open') return;
    if (this.over) this.close(call, 'left');
    else if (call.cursor === undefined) {
      this.close(call, how === 'end' ? 'ended' : 'lost');
    } else if (this.host.calm() || this.host.random.chance(0.85)) {
      // Some clients come back late, and some only when nothing fails any more.
      call.returning = true;
      this.soon(() => {
        call.returning = false;
        this.resume(call);
      }, pauseMs);
    } else {
      call.record.comesBackLate = true;
    }
  }

  private resume(call: Call): void {
    const { record, cursor } = call;
    if (record.state !== 'open' || call.exchange !== undefined || call.returning || this.over)
      return;
    if (cursor === undefined) return;
    call.returning = true;
    call.exchange = this.requests.get(this.host.anySlot(), cursor, `resume ${record.ids.join()}`, {
      event: (id) => this.movedTo(call, id),
      message: (message) => this.onMessage(message, call),
      over: (status, how) => {
        call.exchange = undefined;
        call.returning = false;
        if (status === 204) this.close(call, 'ended');
        else if (status === 404) this.close(call, 'gone');
        else if (status === 400) this.close(call, 'trimmed');
        else this.brokeOff(call, how, pauseAfter(status));
      },
    });
  }

  private close(call: Call, state: CallRecord['state']): void {
    if (call.record.state !== 'open') return;
    call.record.state = state;
    call.record.endedAt = this.host.scheduler.elapsed;
    this.requests.note(`call ${call.record.ids.join()} ${state}`);
  }

  /**
   * Tries a GET that the node has to refuse: as another principal, with another session id, or with a cursor of another
   * session.
   */
  intrude(slot: number, as: { principal?: string; sessionId?: string; cursor?: string }): void {
    const headers: Record<string, string> = {
      ...this.requests.headers(),
      accept: 'text/event-stream',
    };
    if (as.principal !== undefined) headers['x-user'] = as.principal;
    if (as.sessionId !== undefined) headers['mcp-session-id'] = as.sessionId;
    if (as.cursor !== undefined) headers['last-event-id'] = as.cursor;
    const asked = this.requests.asked('intrusion', slot, 'GET', []);
    asked.sessionId = as.sessionId ?? this.sessionId;
    asked.expected = as.cursor === undefined ? 404 : 400;
    const exchange = this.requests.send(slot, { method: 'GET', headers }, asked, {
      head: () => exchange?.hangUp(0),
    });
  }

  private soon(run: () => void, pauseMs = 0): void {
    this.host.scheduler.after(pauseMs + this.host.random.int(1, this.host.returnMs), () => {
      if (!this.over) run();
    });
  }
}

/** Returns how long the client waits before it comes back. After a 429, that is what `Retry-After` says. */
function pauseAfter(status: number | 'cut'): number {
  return status === 429 ? 1000 : 0;
}

export function toolCall(id: number, progressToken: string, { tool, steps }: ToolCall) {
  return {
    ...{ jsonrpc: '2.0', id, method: 'tools/call' },
    params: { name: tool, arguments: { steps }, _meta: { progressToken } },
  };
}

function tokenOf(params: { _meta?: { progressToken?: string } }): string | undefined {
  return params._meta?.progressToken;
}
