import type { ClientHost, ClientOptions, Message } from './client-requests.js';
import { ClientRequests } from './client-requests.js';
import { toolCall } from './client.js';
import type { ToolCall } from './plan.js';
import type { LegacyCall, LegacyConnection } from './records.js';

/**
 * A client of the transport HTTP+SSE (2024-11-05). It opens its one connection at some node, POSTs each message to any
 * node, and begins a new session whenever the connection has ended.
 */
export class LegacyClient {
  over = false;
  private record: LegacyConnection | undefined;
  private isReady = false;
  private isConnecting = false;
  private nextId = 0;
  private requests: ClientRequests;

  constructor(
    private readonly host: ClientHost,
    private readonly options: Omit<ClientOptions, 'version'>,
  ) {
    this.requests = new ClientRequests(host, { ...options, version: '2025-06-18' });
  }

  /** The session of the connection, while there is one. */
  get sessionId(): string | undefined {
    return this.record?.sessionId;
  }

  /** Opens a connection, which begins a session. */
  connect(slot: number): void {
    if (this.over || this.isConnecting || this.record !== undefined) return;
    const { host, requests } = this;
    this.isConnecting = true;
    const headers = { 'x-user': this.options.principal, accept: 'text/event-stream' };
    const asked = requests.asked('connect', slot, 'GET', []);
    asked.isLegacy = true;
    let nodeId = '';
    let record: LegacyConnection | undefined;
    const exchange = requests.send(slot, { method: 'GET', headers, path: '/sse' }, asked, {
      head: (_, given) => (nodeId = given['x-anynode-node'] ?? ''),
      endpoint: (address) => {
        const sessionId = new URL(address, 'http://localhost').searchParams.get('sessionId') ?? '';
        record = {
          ...{ connection: exchange?.name ?? '', client: this.options.name, sessionId, nodeId },
          ...{ exchange, at: asked.at, shown: [], calls: [], ended: undefined, endedAt: undefined },
        };
        asked.sessionId = sessionId;
        host.ledger.legacy.push(record);
        this.record = record;
        this.isConnecting = false;
        requests.note(`has session ${sessionId}`);
        this.initialize(record);
      },
      message: (message, text) => {
        if (record !== undefined) this.onMessage(record, message, text);
      },
      over: (_, how) => {
        this.isConnecting = false;
        if (record !== undefined) {
          record.ended ??= how;
          record.endedAt ??= host.scheduler.elapsed;
        }
        if (this.record === record) this.record = undefined;
        this.isReady = false;
        if (!this.over) this.soon(() => this.connect(host.anySlot()));
      },
    });
  }

  /** Calls a tool through the node in this slot. */
  call(slot: number, call: ToolCall): void {
    const { record } = this;
    if (record === undefined || !this.isReady || this.over) return;
    const id = this.nextId++;
    this.request(record, 'legacy call', slot, toolCall(id, `p${id}`, call));
  }

  cancel(slot: number, which: number): void {
    const { record } = this;
    const running = record?.calls.filter(({ answers }) => answers.length === 0) ?? [];
    const call = running[which % Math.max(running.length, 1)];
    if (record === undefined || call === undefined || !this.isReady) return;
    const params = { requestId: JSON.parse(call.id) as number };
    const askedAt = this.host.scheduler.elapsed;
    call.cancelled = true; // it may be carried out before the client is told
    const message = { jsonrpc: '2.0', method: 'notifications/cancelled', params };
    this.post(record, 'cancel', slot, message, (status) => {
      if (status !== 202) return;
      const acknowledgedAt = this.host.scheduler.elapsed;
      const { sessionId } = record;
      this.host.ledger.cancellations.push({ sessionId, id: call.id, askedAt, acknowledgedAt });
    });
  }

  /** Closes the connection, which ends the session. */
  breakOff(noticedMs: number): void {
    const { record } = this;
    if (record?.exchange?.isOpen !== true) return;
    this.requests.note(`breaks ${record.connection} off`);
    record.ended = 'left';
    record.exchange.hangUp(noticedMs);
  }

  /** Stops reading the connection for `ms`. */
  stall(ms: number): void {
    const exchange = this.record?.exchange;
    if (exchange?.isOpen !== true) return;
    exchange.stopReading();
    this.host.scheduler.after(ms, () => exchange.goOnReading());
  }

  /**
   * Lets another principal POST to the session, and a client of Streamable HTTP ask for it. For both, the session does not
   * exist.
   */
  intrude(slot: number): void {
    const { record, requests } = this;
    if (record === undefined) return;
    const { sessionId } = record;
    const message = { jsonrpc: '2.0', method: 'notifications/roots/list_changed' };
    const asked = requests.asked('intrusion', slot, 'POST', [message]);
    Object.assign(asked, { sessionId, expected: 404, isLegacy: true });
    const headers = { 'x-user': 'stranger', 'content-type': 'application/json' };
    const query = { sessionId };
    const request = { method: 'POST' as const, headers, body: message, query };
    requests.send(slot, { ...request, path: '/messages' }, asked, {});
    const get = requests.asked('intrusion', slot, 'GET', []);
    Object.assign(get, { sessionId, expected: 404 });
    const exchange = requests.send(
      slot,
      {
        method: 'GET',
        headers: {
          ...{ 'x-user': this.options.principal, 'mcp-session-id': sessionId },
          accept: 'text/event-stream',
        },
      },
      get,
      { head: () => exchange?.hangUp(0) },
    );
  }

  comeBack(): void {
    this.connect(this.host.anySlot());
  }

  /** Leaves for good. */
  leave(): void {
    this.over = true;
    this.breakOff(0);
  }

  private initialize(record: LegacyConnection): void {
    const { name } = this.options;
    const params = {
      ...{ protocolVersion: '2024-11-05', capabilities: { elicitation: {} } },
      clientInfo: { name, version: '1' },
    };
    const message = { jsonrpc: '2.0', id: this.nextId++, method: 'initialize', params };
    this.request(record, 'initialize', this.host.anySlot(), message);
  }

  private request(
    record: LegacyConnection,
    what: string,
    slot: number,
    message: { id: number; params: object },
  ): void {
    const { _meta: meta } = message.params as { _meta?: { progressToken?: string } };
    const call: LegacyCall = {
      ...{ id: JSON.stringify(message.id), token: meta?.progressToken, status: undefined },
      ...{ at: this.host.scheduler.elapsed, cancelled: false, answers: [], answeredAt: undefined },
    };
    record.calls.push(call);
    this.post(record, what, slot, message, (status) => {
      call.status = status;
      // A client whose handshake was not accepted begins again.
      if (what === 'initialize' && status !== 202 && call.answers.length === 0) this.breakOff(1);
    });
  }

  private onMessage(record: LegacyConnection, message: Message, text: string): void {
    record.shown.push(text);
    this.requests.note(`${record.connection} shows ${textOf(message)}`);
    const { id, method, result, error } = message;
    if (method !== undefined) {
      if (method === 'elicitation/create') this.answer(record, id, message.params?.mark as string);
      return;
    }
    const call = record.calls.find((each) => each.id === JSON.stringify(id));
    if (call === undefined) {
      const { seen } = this.host.ledger;
      seen.push(`10 answers belong: ${record.connection} shows ${text}, which answers nothing`);
      return;
    }
    const reason = error?.data?.reason ?? '';
    call.answers.push(result?.mark ?? (error ? `error ${error.code} ${reason}` : 'empty'));
    call.answeredAt ??= this.host.scheduler.elapsed;
    const isHandshake = call === record.calls[0];
    if (isHandshake && error !== undefined) this.breakOff(1);
    if (!isHandshake || this.isReady || error !== undefined) return;
    this.tell(record, 'initialized', { jsonrpc: '2.0', method: 'notifications/initialized' });
    this.isReady = true;
  }

  private answer(record: LegacyConnection, id: string | number | undefined, mark: string): void {
    const message = { jsonrpc: '2.0', id, result: { action: 'accept', content: { mark } } };
    this.host.scheduler.after(this.host.random.next() * 400, () =>
      this.tell(record, `answer to ${mark}`, message, () => this.host.ledger.answerTaken(mark)),
    );
  }

  /** POSTs a notification or an answer, and repeats that until a node has accepted it. */
  private tell(
    record: LegacyConnection,
    what: string,
    message: object,
    then: () => void = () => undefined,
  ): void {
    const attempt = (): void => {
      if (record.ended !== undefined) return;
      this.post(record, what, this.host.anySlot(), message, (status) => {
        if (status === 'cut' || status === 503) this.soon(attempt);
        else if (status === 202) then();
      });
    };
    attempt();
  }

  private post(
    { sessionId }: LegacyConnection,
    what: string,
    slot: number,
    message: object,
    then: (status: number | 'cut') => void,
  ): void {
    const asked = this.requests.asked(what, slot, 'POST', [message]);
    Object.assign(asked, { sessionId, isLegacy: true });
    const headers = { 'x-user': this.options.principal, 'content-type': 'application/json' };
    const request = { method: 'POST' as const, headers, body: message, query: { sessionId } };
    this.requests.send(slot, { ...request, path: '/messages' }, asked, {
      over: (status) => then(status),
    });
  }

  private soon(run: () => void): void {
    this.host.scheduler.after(this.host.random.int(1, this.host.returnMs), () => {
      if (!this.over) run();
    });
  }
}

function textOf({ id, params, result, error, method }: Message): string {
  const mark = (params?.mark ?? result?.mark) as string | undefined;
  return mark ?? `${method ?? (error ? `error ${error.code}` : 'result')} ${id ?? ''}`;
}
