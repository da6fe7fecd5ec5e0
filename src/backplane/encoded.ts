/** A backplane that keeps what was said in a session in an encoded form. */
import { randomUUID } from 'node:crypto';
import type {
  AppendOperation,
  AttachReply,
  AttachRequest,
  Backplane,
  Commit,
  CommitReply,
  JoinOptions,
  LogEntry,
  Membership,
  NewSession,
  NodeMessage,
  Operation,
  Page,
  ReadRequest,
  SessionRecord,
  StreamEvent,
  TouchRequest,
} from './backplane.js';
import { decodedEntry, decodedRecord } from './decoded.js';
import { encodedSeams } from './encoded-seams.js';
import type { PayloadCodec, PayloadContext } from './payloads.js';
import { Payloads } from './payloads.js';
import { ReadableSessions, says } from './readable.js';
import { seal } from './seals.js';
import type { SeamStore } from './seams.js';

type Effect = NonNullable<AppendOperation['effect']>;

/**
 * `inner`, with everything encoded that came from a client, a server or the application: messages in the log and on
 * the bus, params of `initialize`, state, contexts. What the steps of a backplane look into is as it was: ids, streams,
 * principals, effects, keys.
 */
export function encodedBackplane(inner: Backplane, codec: PayloadCodec): Backplane {
  return { join: (options) => new EncodedMembership(inner, codec, options) };
}

class EncodedMembership implements Membership {
  private readonly inner: Membership;
  private readonly payloads: Payloads;
  private readonly readable: ReadableSessions;
  /** A principal that no session has: to the steps of a backplane it stands for one who is denied. */
  private readonly denied = `denied ${randomUUID()}`;
  readonly seams: SeamStore | undefined;
  readonly ends: Membership['ends'];

  constructor(inner: Backplane, codec: PayloadCodec, options: JoinOptions) {
    this.payloads = new Payloads(codec, options);
    this.inner = inner.join({
      ...options,
      onMessage: (message) => {
        const decoded = this.decodeMessage(message);
        if (decoded !== undefined) options.onMessage(decoded);
      },
    });
    this.readable = new ReadableSessions(this.inner, this.payloads);
    const { seams, ends } = this.inner;
    this.ends = ends;
    this.seams = seams && encodedSeams(seams, this.payloads);
  }

  ready(): Promise<void> {
    return this.inner.ready();
  }

  trouble(): string | undefined {
    return this.inner.trouble();
  }

  get place(): string | undefined {
    return this.inner.place;
  }

  async create(session: NewSession) {
    const { id, principal, initialize, inbound, outbound } = session;
    const created = await this.inner.create({
      ...session,
      seal: seal(this.payloads, principal, { sessionId: id, kind: 'identity' }),
      initialize: this.encode(initialize, id, 'initialize'),
      ...(inbound !== undefined && { inbound: this.encode(inbound, id) }),
      outbound: outbound.map((each) => ({ ...each, message: this.encode(each.message, id) })),
    });
    if (created !== false) this.readable.note(id, principal);
    return created;
  }

  async commit({ operations, ...commit }: Commit): Promise<CommitReply> {
    const { sessionId } = commit;
    const denied = await this.deniedIn(sessionId, operations);
    if (denied === 'gone') return { status: 'gone' };
    const encoded = operations.map((operation) => {
      const mine = denied?.has(operation) ? { ...operation, principal: this.denied } : operation;
      return this.encodeOperation(mine, sessionId);
    });
    const reply = await this.inner.commit({ ...commit, operations: encoded });
    // It has been carried out: whatever becomes of the record, this may not reject.
    if (reply.status === 'gone' || reply.record === undefined) return reply;
    const record = decodedRecord(reply.record, this.payloads);
    const principal = this.readable.principalOf(sessionId) ?? record.principal;
    return { ...reply, record: { ...record, principal } };
  }

  /** The operations whose principal the session is not; `gone`: it is nobody's. Rejects with `undecodable`. */
  private async deniedIn(
    sessionId: string,
    operations: Operation[],
  ): Promise<Set<Operation> | 'gone' | undefined> {
    let denied: Set<Operation> | undefined;
    for (const operation of operations) {
      if (!says(operation)) continue;
      const principal = 'principal' in operation ? operation.principal : undefined;
      // Usually nothing has to be waited for.
      if (this.readable.isKnown(sessionId, principal)) continue;
      const admission = await this.readable.admit(sessionId, principal);
      if (admission === 'gone') return 'gone';
      if (admission === 'denied') (denied ??= new Set()).add(operation);
    }
    return denied;
  }

  async attach(request: AttachRequest): Promise<AttachReply> {
    const admission = await this.readable.admit(request.sessionId, request.principal);
    return admission === 'admitted' ? this.inner.attach(request) : { status: 'gone' };
  }

  /** As far as it can be decoded: then `unreadable`, which nothing may be shown in the place of. */
  async read(request: ReadRequest): Promise<Page> {
    const page = await this.inner.read(request);
    if (page.status !== 'ok') return page;
    const events: StreamEvent[] = [];
    for (const event of page.events) {
      const { message, position } = event;
      if (message === undefined) {
        events.push(event);
        continue;
      }
      const text = this.decode(message, request.sessionId, 'message', `entry ${position.logId}`);
      if (text === undefined) {
        const last = events.at(-1);
        if (last === undefined) return { status: 'unreadable' };
        return { ...page, events, scanned: last.position.logId, more: true };
      }
      events.push({ ...event, message: text });
    }
    return { ...page, events };
  }

  touch(requests: TouchRequest[]) {
    return this.inner.touch(requests);
  }

  remove(sessionId: string, principal: Parameters<Membership['remove']>[1]) {
    return this.inner.remove(sessionId, principal);
  }

  async load(sessionId: string): Promise<SessionRecord | undefined> {
    const record = await this.inner.load(sessionId);
    if (record === undefined) return undefined;
    const state = this.readable.verify(sessionId, record);
    if (state === 'forged') return undefined;
    const decoded = decodedRecord(record, this.payloads);
    return state === 'valid' ? decoded : { ...decoded, initialize: '', unreadable: true };
  }

  /** Of a session that this node cannot read, as the backplane has it: nothing is said in it or shown of it here. */
  async identify(sessionId: string) {
    const identity = await this.inner.identify(sessionId);
    if (identity === undefined) return undefined;
    return this.readable.verify(sessionId, identity) === 'forged' ? undefined : identity;
  }

  openStreams(sessionId: string) {
    return this.inner.openStreams(sessionId);
  }

  list(after: string | undefined, count: number) {
    return this.inner.list(after, count);
  }

  async history(sessionId: string, after: string, count: number): Promise<LogEntry[]> {
    const entries = await this.inner.history(sessionId, after, count);
    return entries.map((entry) => decodedEntry(entry, sessionId, this.payloads));
  }

  async loadState(sessionId: string) {
    const state = await this.inner.loadState(sessionId);
    if (state?.value === undefined) return state;
    const context = { sessionId, kind: 'state' } as const;
    const value = this.payloads.decodeOrThrow(state.value, context, 'The state of the session');
    return { ...state, value };
  }

  async storeState(sessionId: string, value: string, expected: string | undefined) {
    if ((await this.readable.admit(sessionId)) === 'gone') return 'gone';
    return this.inner.storeState(sessionId, this.encode(value, sessionId, 'state'), expected);
  }

  async send(nodeId: string, message: NodeMessage): Promise<void> {
    return this.inner.send(nodeId, this.encodeMessage(message));
  }

  alive(nodeIds: string[]) {
    return this.inner.alive(nodeIds);
  }

  steadySince() {
    return this.inner.steadySince();
  }

  timeOf(id: string) {
    return this.inner.timeOf(id);
  }

  leave(): Promise<void> {
    return this.inner.leave();
  }

  private encodeOperation(operation: Operation, sessionId: string): Operation {
    switch (operation.type) {
      case 'open': {
        const messages = operation.messages.map((text) => this.encode(text, sessionId));
        return { ...operation, messages };
      }
      case 'receive':
        return { ...operation, message: this.encode(operation.message, sessionId) };
      case 'append': {
        const { message, effect } = operation;
        return {
          ...operation,
          message: message === undefined ? undefined : this.encode(message, sessionId),
          ...(effect !== undefined && { effect: this.encodeEffect(effect, sessionId) }),
        };
      }
      default:
        return operation;
    }
  }

  /** That of `initialize` has its params in the second of three lines. */
  private encodeEffect(effect: Effect, sessionId: string): Effect {
    if (effect.type === 'unsubscribe') return effect;
    if (effect.type === 'level') {
      return { ...effect, value: this.encode(effect.value, sessionId, 'level') };
    }
    if (effect.type === 'subscribe') {
      const context = { sessionId, kind: 'subscription' } as const;
      return { ...effect, seal: seal(this.payloads, effect.value, context) };
    }
    const [hears = '', params = '', ...version] = effect.value.split('\n');
    const encoded = this.encode(params, sessionId, 'initialize');
    if (encoded.includes('\n')) {
      throw new TypeError('mcp-anynode: what `codec.encode` returns must not have line breaks');
    }
    return { ...effect, value: [hears, encoded, ...version].join('\n') };
  }

  /** Others are sent by the steps of the backplane, which have the message as it is stored. */
  private encodeMessage(message: NodeMessage): NodeMessage {
    switch (message.type) {
      case 'deliver': {
        const { sessionId, context } = message;
        return {
          ...message,
          message: this.encode(message.message, sessionId),
          ...(context !== undefined && { context: this.encode(context, sessionId, 'context') }),
        };
      }
      case 'logged': {
        const { sessionId, context } = message;
        if (context === undefined) return message;
        return { ...message, context: this.encode(context, sessionId, 'context') };
      }
      case 'run': {
        const { sessionId, context, messages } = message;
        return {
          ...message,
          context: this.encode(context, sessionId, 'context'),
          messages: messages?.map((text) => this.encode(text, sessionId)),
        };
      }
      default:
        return message;
    }
  }

  /** `undefined`: it says nothing any more. */
  private decodeMessage(message: NodeMessage): NodeMessage | undefined {
    const where = `a message of another node (${message.type})`;
    switch (message.type) {
      case 'event': {
        const { event, sessionId } = message;
        if (event.message === undefined) return message;
        const text = this.decode(event.message, sessionId, 'message', where);
        // Then the log says it, or why not.
        return {
          ...message,
          event: { ...event, message: text },
          inline: message.inline && text !== undefined,
        };
      }
      case 'deliver': {
        const { sessionId, context: encoded } = message;
        const text = this.decode(message.message, sessionId, 'message', where);
        const context = encoded && this.decode(encoded, sessionId, 'context', where);
        if (text === undefined || (encoded !== undefined && context === undefined))
          return undefined;
        return { ...message, message: text, ...(context !== undefined && { context }) };
      }
      case 'shape': {
        const { sessionId, message: text } = message;
        if (text === undefined) return message;
        return { ...message, message: this.decode(text, sessionId, 'message', where) };
      }
      case 'logged': {
        if (message.context === undefined) return message;
        const context = this.decode(message.context, message.sessionId, 'context', where);
        return context === undefined ? undefined : { ...message, context };
      }
      case 'run':
        return this.decodeRun(message, where);
      default:
        return message;
    }
  }

  private decodeRun(run: Extract<NodeMessage, { type: 'run' }>, where: string): NodeMessage {
    const { sessionId } = run;
    const context = this.decode(run.context, sessionId, 'context', where);
    const texts = run.messages?.map((text) => this.decode(text, sessionId, 'message', where));
    const messages = texts?.filter((text) => text !== undefined);
    if (context !== undefined && messages?.length === texts?.length) {
      return { ...run, context, messages };
    }
    return { ...run, context: '', messages: undefined, unreadable: true };
  }

  private encode(text: string, sessionId: string, kind: PayloadContext['kind'] = 'message') {
    return this.payloads.encode(text, { sessionId, kind });
  }

  private decode(text: string, sessionId: string, kind: PayloadContext['kind'], where: string) {
    return this.payloads.decode(text, { sessionId, kind }, where);
  }
}
