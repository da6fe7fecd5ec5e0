/** Puts a codec in front of a backplane, so that messages are stored encoded. */
import { randomUUID } from 'node:crypto';
import { AnynodeError } from '../../protocol/errors.js';
import type {
  AttachReply,
  AttachRequest,
  AuditOutboxes,
  Backplane,
  Commit,
  CommitReply,
  Effect,
  JoinOptions,
  LogEntry,
  LogId,
  JoinedBackplane,
  NewSession,
  NodeMessage,
  Operation,
  OperationResult,
  Page,
  ReadRequest,
  SessionRecord,
  StreamEvent,
  Streams,
  TouchRequest,
} from '../backplane.js';
import { ANY_PRINCIPAL, justBefore } from '../backplane.js';
import { decodedEntries, decodedRecord } from './decoded-sessions.js';
import { decodedOutboxes } from './decoded-outboxes.js';
import { EncodedMessages } from './encoded-messages.js';
import { encodedSdkStores } from './encoded-sdk-stores.js';
import type { PageOrder } from './log-order.js';
import { LogTexts, purposeIn, purposeOut } from './log-texts.js';
import type { PayloadCodec, PayloadContext } from './payloads.js';
import { Payloads } from './payloads.js';
import { ReadableSessions, says } from './readable-sessions.js';
import { seal } from './seals.js';
import type { SdkStoreAccess } from '../sdk-store-access.js';

/**
 * Returns `inner` with everything encoded that comes from a client, a server or the application: messages in the log and
 * between nodes, params of `initialize`, state, contexts. Values that the steps of a backplane look into are not encoded:
 * ids, streams, principals, effects, keys.
 */
export function encodedBackplane(inner: Backplane, codec: PayloadCodec): Backplane {
  return { join: (options) => new JoinedEncodedBackplane(inner, codec, options) };
}

class JoinedEncodedBackplane implements JoinedBackplane {
  private readonly inner: JoinedBackplane;
  private readonly payloads: Payloads;
  private readonly texts: LogTexts;
  private readonly messages: EncodedMessages;
  private readonly readable: ReadableSessions;
  /** A principal that no session has. A backplane denies its operations. */
  private readonly denied = `denied ${randomUUID()}`;
  private readonly nodeId: string;
  /** The highest number of a commit so far. */
  private latest = 0;
  readonly sdkStores: SdkStoreAccess | undefined;
  readonly ends: Streams['ends'];
  readonly audit: AuditOutboxes | undefined;

  constructor(inner: Backplane, codec: PayloadCodec, options: JoinOptions) {
    this.payloads = new Payloads(codec, options);
    this.texts = new LogTexts(this.payloads);
    this.messages = new EncodedMessages(this.payloads, this.texts, options.nodeId);
    this.nodeId = options.nodeId;
    this.inner = inner.join({
      ...options,
      onMessage: (message) => {
        const decoded = this.messages.decode(message);
        if (decoded !== undefined) options.onMessage(decoded);
      },
    });
    this.readable = new ReadableSessions(this.inner, this.payloads);
    const { sdkStores, ends, audit } = this.inner;
    this.ends = ends;
    this.audit = audit && decodedOutboxes(audit, this.payloads);
    this.sdkStores = sdkStores && encodedSdkStores(sdkStores, this.payloads);
  }

  ready(): Promise<void> {
    return this.inner.ready();
  }

  trouble(): string | undefined {
    return this.inner.trouble();
  }

  get address(): string | undefined {
    return this.inner.address;
  }

  async create(session: NewSession) {
    const { id, principal, initialize, inbound, outbound } = session;
    const created = await this.inner.create({
      ...session,
      seal: seal(this.payloads, principal, { sessionId: id, kind: 'identity' }),
      initialize: this.encode(initialize, id, 'initialize'),
      ...(inbound !== undefined && {
        inbound: this.encodeMessage(inbound, id, purposeIn(session.stream)),
      }),
      outbound: outbound.map((each) => ({
        ...each,
        message: this.encodeMessage(each.message, id, purposeOut(each.stream)),
      })),
    });
    if (created !== false) this.readable.note(id, principal);
    return created;
  }

  async commit({ operations, ...commit }: Commit): Promise<CommitReply> {
    const { sessionId } = commit;
    const denied = await this.deniedIn(sessionId, operations);
    if (denied === 'gone') return { status: 'gone' };
    // In a repeat, the results belong to the texts of the first try, which had other numbers.
    const isFirst = commit.number > this.latest;
    this.latest = Math.max(this.latest, commit.number);
    /** The number of the last text of each operation. */
    const numbers: (number | undefined)[] = [];
    const encoded = operations.map((operation) => {
      const mine = denied?.has(operation) ? { ...operation, principal: this.denied } : operation;
      const before = this.payloads.lastNumber;
      const closed = this.encodeOperation(mine, sessionId);
      const { lastNumber } = this.payloads;
      numbers.push(lastNumber > before ? lastNumber : undefined);
      return closed;
    });
    const reply = await this.inner.commit({ ...commit, operations: encoded });
    if (reply.status === 'ok' && isFirst) this.noteStored(sessionId, reply.results, numbers);
    // The commit was carried out, so this must not reject, even if the record cannot be decoded.
    if (reply.status === 'gone' || reply.record === undefined) return reply;
    const record = decodedRecord(reply.record, this.payloads);
    const principal = this.readable.principalOf(sessionId) ?? record.principal;
    return { ...reply, record: { ...record, principal } };
  }

  /** Remembers the place of the last entry of a commit, if the results name it. */
  private noteStored(
    sessionId: string,
    results: OperationResult[],
    numbers: (number | undefined)[],
  ): void {
    const at = results.findLastIndex((result) => 'position' in result);
    const [result, number] = [results[at], numbers[at]];
    if (result === undefined || number === undefined || !('position' in result)) return;
    this.texts.stored(sessionId, this.nodeId, number, result.position.logId);
  }

  /**
   * Finds the operations that are denied, because their principal is not that of the session. `gone`: there is no such
   * session. Rejects with `undecodable`.
   */
  private async deniedIn(
    sessionId: string,
    operations: Operation[],
  ): Promise<Set<Operation> | 'gone' | undefined> {
    let denied: Set<Operation> | undefined;
    for (const operation of operations) {
      if (!says(operation)) continue;
      const principal = 'principal' in operation ? operation.principal : undefined;
      // Usually this is known, and nothing has to be awaited.
      if (this.readable.isKnown(sessionId, principal)) continue;
      const admission = await this.readable.admit(sessionId, principal);
      if (admission === 'gone') return 'gone';
      if (admission === 'denied') (denied ??= new Set()).add(operation);
    }
    return denied;
  }

  async attach(request: AttachRequest): Promise<AttachReply> {
    const admission = await this.readable.admit(request.sessionId, request.principal);
    if (admission !== 'admitted') return { status: 'gone' };
    const reply = await this.inner.attach(request);
    if (reply.status === 'attached' && reply.position.n > 0) {
      // The connection is attached, even if this fails.
      await this.lookBack(request.sessionId, reply.position.logId).catch(() => undefined);
    }
    return reply;
  }

  /**
   * Reads the last entry that the client has, unless this node has read or stored an entry of the session. Later entries
   * must be newer.
   */
  private async lookBack(sessionId: string, logId: LogId): Promise<void> {
    if (this.texts.know(sessionId)) return;
    const [entry] = await this.inner.history(sessionId, justBefore(logId), 1);
    if (entry?.logId === logId) decodedEntries([entry], sessionId, this.texts);
  }

  /**
   * Reads a page up to the first message that cannot be decoded. The next page is `unreadable`, because no other message may
   * be shown in its place.
   */
  async read(request: ReadRequest): Promise<Page> {
    const page = await this.inner.read(request);
    if (page.status !== 'ok') return page;
    const { sessionId, stream } = request;
    const events: StreamEvent[] = [];
    const order: PageOrder = new Map();
    for (const event of page.events) {
      const { message, position, end } = event;
      const place = { logId: position.logId, direction: 'out', stream } as const;
      const opened =
        message === undefined ? undefined : this.texts.decode(message, sessionId, place, order);
      if (opened === 'unreadable' || (opened === 'forged' && end)) {
        const last = events.at(-1);
        if (last === undefined) return { status: 'unreadable' };
        return { ...page, events, scanned: last.position.logId, more: true };
      }
      // A message that no node has put there is not shown.
      events.push({ ...event, message: opened === 'forged' ? undefined : opened?.text });
    }
    return { ...page, events };
  }

  touch(requests: TouchRequest[]) {
    return this.inner.touch(requests);
  }

  /** Removes a session, also one that this node cannot read. */
  async remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL) {
    if (principal !== ANY_PRINCIPAL) {
      const identity = await this.identify(sessionId);
      if (identity?.principal !== principal) return false;
    }
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

  /**
   * Reads the identity. Of a session that this node cannot read, it is as stored, because this node neither writes nor shows
   * anything of the session.
   */
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
    return decodedEntries(entries, sessionId, this.texts);
  }

  async received(sessionId: string, logId: LogId, wasAddressed: boolean) {
    const [entry] = await this.inner.history(sessionId, justBefore(logId), 1);
    if (entry?.logId !== logId || entry.message === undefined) return undefined;
    if (entry.direction !== 'in' || entry.stream !== undefined) return undefined;
    const opened = this.texts.decode(entry.message, sessionId, entry);
    if (typeof opened !== 'object') return undefined;
    const logged = { type: 'logged', sessionId, logId } as const;
    return wasAddressed || this.messages.isSent(opened.origin, logged) ? opened.text : undefined;
  }

  async loadState(sessionId: string) {
    if ((await this.readable.admit(sessionId)) === 'gone') return undefined;
    const state = await this.inner.loadState(sessionId);
    if (state?.value === undefined) return state;
    const context = { sessionId, kind: 'state' } as const;
    const opened = this.payloads.decodeWithOrigin(state.value, context, 'the state of a session');
    const origin = opened?.origin;
    if (
      origin !== undefined &&
      !state.version.endsWith(`.${origin.nodeId}:${markOf(origin.number)}`)
    ) {
      this.payloads.warn('the state of a session is not the one that its version names');
    } else if (opened !== undefined) {
      return { ...state, value: opened.text };
    }
    throw new AnynodeError('undecodable', 'The state of the session cannot be decoded');
  }

  async storeState(sessionId: string, value: string, expected: string | undefined) {
    if ((await this.readable.admit(sessionId)) === 'gone') return 'gone';
    const encoded = this.payloads.encodeWithOrigin(value, { sessionId, kind: 'state' }, 'state');
    const mark = markOf(this.payloads.lastNumber);
    return this.inner.storeState(sessionId, encoded, expected, mark);
  }

  async send(nodeId: string, message: NodeMessage): Promise<void> {
    return this.inner.send(nodeId, this.messages.encode(message, nodeId));
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
        const purpose = purposeIn(operation.stream);
        const messages = operation.messages.map((text) =>
          this.encodeMessage(text, sessionId, purpose),
        );
        return { ...operation, messages };
      }
      case 'exchange': {
        const { stream, message, answer } = operation;
        return {
          ...operation,
          message: this.encodeMessage(message, sessionId, purposeIn(stream)),
          answer: this.encodeMessage(answer, sessionId, purposeOut(stream)),
        };
      }
      case 'receive':
        return {
          ...operation,
          message: this.encodeMessage(
            operation.message,
            sessionId,
            purposeIn(undefined, operation.route),
          ),
        };
      case 'append': {
        const { message, effect } = operation;
        return {
          ...operation,
          message:
            message === undefined
              ? undefined
              : this.encodeMessage(message, sessionId, purposeOut(operation.stream)),
          ...(effect !== undefined && { effect: this.encodeEffect(effect, sessionId) }),
        };
      }
      default:
        return operation;
    }
  }

  private encodeEffect(effect: Effect, sessionId: string): Effect {
    switch (effect.type) {
      case 'level':
        return { ...effect, level: this.encode(effect.level, sessionId, 'level') };
      case 'subscribe': {
        const context = { sessionId, kind: 'subscription' } as const;
        return { ...effect, seal: seal(this.payloads, effect.uri, context) };
      }
      case 'unsubscribe':
        return effect;
      case 'initialize': {
        const params = this.encode(effect.params, sessionId, 'initialize');
        // A backplane may store the params as one of several lines.
        if (params.includes('\n')) {
          throw new TypeError('mcp-anynode: what `codec.encode` returns must not have line breaks');
        }
        return { ...effect, params };
      }
    }
  }

  private encode(text: string, sessionId: string, kind: PayloadContext['kind']) {
    return this.payloads.encode(text, { sessionId, kind });
  }

  private encodeMessage(text: string, sessionId: string, purpose: string): string {
    return this.payloads.encodeWithOrigin(text, { sessionId, kind: 'message' }, purpose);
  }
}

/** Turns the number of an encoded state into the mark with which the version of that state ends. */
function markOf(number: number): string {
  return number.toString(36);
}
