import { AnynodeError, auditFull } from '../../protocol/errors.js';
import type { Clock } from '../../protocol/timing/clock.js';
import type {
  AttachRequest,
  AuditOutboxes,
  Backplane,
  Commit,
  CommitReply,
  JoinOptions,
  JoinedBackplane,
  NewSession,
  NodeMessage,
  Position,
  ReadRequest,
  TouchRequest,
} from '../backplane.js';
import { pendingWeight } from '../pending-weight.js';
import { ANY_PRINCIPAL, isReleased, LOG_START, STANDALONE, TooManySessions } from '../backplane.js';
import { FIRST_REVISION } from '../revision.js';
import type { SdkStoreAccess } from '../sdk-store-access.js';
import { inboundEntry, MemoryLog, noteEntry } from './memory-log.js';
import { MemoryOutbox, memoryOutboxes } from './memory-outbox.js';
import { MemorySdkStores } from './memory-sdk-stores.js';
import { StoredSession } from './stored-session.js';

type Most = NonNullable<NewSession['most']>;

/**
 * Makes a backplane in the memory of this process. It needs no server, behaves as with Redis, and is lost with the process.
 * Nodes in one process that get the same backplane serve the same sessions.
 *
 * Sessions live as long as with Redis. Expired sessions are removed when new ones are created.
 */
export function memoryBackplane(): Backplane {
  return new MemoryBackplane();
}

/** See {@link memoryBackplane}. */
export class MemoryBackplane implements Backplane {
  readonly sessions = new Map<string, StoredSession>();
  readonly nodes = new Map<string, JoinedMemoryBackplane>();
  readonly sdkStores = new MemorySdkStores();
  readonly outbox = new MemoryOutbox();
  /** The highest weight of a session that a node has tried to create. */
  heaviest = 1;
  private beginning: number | undefined;

  join(options: JoinOptions): JoinedBackplane {
    const { clock } = options;
    this.beginning ??= clock.now() - clock.elapsed();
    const member = new JoinedMemoryBackplane(this, options);
    this.nodes.set(options.nodeId, member);
    return member;
  }

  /** Returns milliseconds since the epoch that grow evenly. A change of the machine's clock makes nothing expire. */
  now(clock: Clock): number {
    return Math.floor((this.beginning ?? 0) + clock.elapsed());
  }

  /** Removes a session that has expired. */
  expire(sessionId: string, now: number): void {
    this.sessions.delete(sessionId);
    this.outbox.end(sessionId, 'expired', now);
  }

  /** Delivers a message in a later turn of the event loop, as a network would. The step that sends it has ended by then. */
  tell(nodeId: string, message: NodeMessage): void {
    setImmediate(() => this.nodes.get(nodeId)?.options.onMessage(message));
  }
}

class JoinedMemoryBackplane implements JoinedBackplane {
  readonly sdkStores: SdkStoreAccess;
  readonly audit: AuditOutboxes;
  private left = false;
  private stores = 0;

  constructor(
    private readonly shared: MemoryBackplane,
    readonly options: JoinOptions,
  ) {
    this.sdkStores = shared.sdkStores.of(options, (run) => this.step(run));
    this.audit = memoryOutboxes(
      shared.outbox,
      (run) => this.step(run),
      (id) => this.find(id) !== undefined,
    );
  }

  ready(): Promise<void> {
    return this.step(() => undefined);
  }

  trouble(): string | undefined {
    return this.left ? 'closed' : undefined;
  }

  create(session: NewSession): Promise<Position[] | false> {
    return this.step((now) => {
      this.clearExpired(now);
      if (this.find(session.id) !== undefined) return false;
      const { outbox } = this.shared;
      if (outbox.refuses(session.id)) throw auditFull();
      if (session.most !== undefined) this.checkQuota(session, session.most, now);
      const { nodeId, retention } = this.options;
      const stored = new StoredSession(
        {
          id: session.id,
          revision: FIRST_REVISION,
          initialize: session.initialize,
          protocolVersion: session.protocolVersion,
          principal: session.principal,
          ...(session.seal !== undefined && { seal: session.seal }),
          hears: session.hears,
          createdAt: now,
          lastSeenAt: now,
          active: false,
          logLevel: undefined,
          subscriptions: [],
          errors: 0,
          owner: session.owned === true ? nodeId : undefined,
        },
        new MemoryLog(retention, (entry) => outbox.copy(session.id, entry)),
        (node, message) => this.shared.tell(node, message),
        () => outbox.refuses(session.id),
      );
      stored.weight = pendingWeight(session);
      this.shared.sessions.set(session.id, stored);
      stored.replicas.add(nodeId);
      outbox.begin(session.id, now);
      const positions: Position[] = [];
      const { principal, seal, initialize } = session;
      stored.log.append(now, {
        ...noteEntry({ kind: 'session.created', nodeId }),
        audit: {
          created: { principal, ...(seal !== undefined && { seal }) },
          ...(session.protocolVersion !== '' && { initialize }),
        },
      });
      if (session.inbound !== undefined) {
        const inbound = inboundEntry(session.inbound, session.stream);
        positions.push({ n: 0, logId: stored.log.append(now, inbound) });
      }
      const numbers = new Map<string, number>();
      session.outbound.forEach(({ stream, message, asks }, index) => {
        const n = (numbers.get(stream) ?? 0) + 1;
        numbers.set(stream, n);
        const logId = stored.log.append(now, {
          direction: 'out',
          stream,
          message,
          n,
          end: index === session.outbound.length - 1,
          asker: asks ? nodeId : undefined,
        });
        positions.push({ n, logId });
        const open = stored.streams.get(stream);
        if (open !== undefined) open.last = { n, logId };
      });
      this.keep(stored, now);
      return positions;
    });
  }

  commit({ sessionId, number, operations, after }: Commit): Promise<CommitReply> {
    return this.step((now) => {
      const session = this.find(sessionId);
      if (session === undefined) return { status: 'gone' };
      session.log.goOnAfter(after);
      const { used, stale, becameOwner, ...committed } = session.commit(
        this.options.nodeId,
        number,
        operations,
        now,
      );
      const reply = { ...committed, ...(becameOwner && { becameOwner }) };
      if (used) this.keep(session, now);
      if (!stale) return { status: 'ok', ...reply };
      const followedBy = session.holders.followedBy();
      return {
        status: 'ok',
        ...reply,
        record: session.record(),
        ...(followedBy !== undefined && { followedBy }),
      };
    });
  }

  attach(request: AttachRequest) {
    return this.step((now) => {
      if (request.isWanted?.() === false) return { status: 'unwanted' } as const;
      const session = this.find(request.sessionId);
      if (session === undefined) return { status: 'gone' } as const;
      const reply = session.holders.attach(this.options.nodeId, request, now);
      if (reply.status === 'attached') this.keep(session, now);
      return reply;
    });
  }

  read(request: ReadRequest) {
    return this.step(
      () =>
        this.find(request.sessionId)?.holders.read(this.options.nodeId, request) ?? {
          status: 'gone' as const,
        },
    );
  }

  touch(requests: TouchRequest[]) {
    return this.step((now) =>
      requests.map((request) => {
        const session = this.find(request.sessionId);
        if (session === undefined) return { status: 'gone' as const };
        this.keep(session, now);
        return session.holders.touch(this.options.nodeId, request);
      }),
    );
  }

  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL) {
    return this.step((now) => {
      const session = this.find(sessionId);
      if (session === undefined) return false;
      if (principal !== ANY_PRINCIPAL && principal !== session.stored.principal) return false;
      this.shared.sessions.delete(sessionId);
      this.shared.outbox.end(sessionId, principal === ANY_PRINCIPAL ? 'removed' : 'deleted', now);
      for (const node of session.nodes()) this.shared.tell(node, { type: 'gone', sessionId });
      return true;
    });
  }

  load(sessionId: string) {
    return this.step(() => this.find(sessionId)?.record());
  }

  identify(sessionId: string) {
    return this.step(() => {
      const record = this.find(sessionId)?.record();
      if (record === undefined) return undefined;
      const { principal, owner, seal } = record;
      return { principal, owner, ...(seal !== undefined && { seal }) };
    });
  }

  openStreams(sessionId: string) {
    return this.step(() =>
      [...(this.find(sessionId)?.streams ?? [])]
        .filter(([stream]) => stream !== STANDALONE)
        .map(([stream, { holder, executor, unbegun }]) => {
          const isLeft = unbegun === true || executor === undefined || isReleased(executor);
          return { stream, holder: holder?.nodeId, runsOn: isLeft ? undefined : executor };
        }),
    );
  }

  list(after: string | undefined, count: number) {
    return this.step(() => {
      const ids = [...this.shared.sessions.keys()]
        .sort()
        .filter((id) => after === undefined || id > after)
        .slice(0, count);
      const next = ids.length === count ? ids.at(-1) : undefined;
      return { ids, ...(next !== undefined && { next }) };
    });
  }

  history(sessionId: string, after = LOG_START, count = 1000) {
    return this.step(() =>
      (this.find(sessionId)?.log.after(after, count) ?? []).map(
        ({ logId, at, direction, stream, message, asker, by, holder, note, trace }) => ({
          ...{ logId, at, direction, stream, message, asker },
          ...(by !== undefined && { by }),
          ...(holder !== undefined && { holder }),
          ...(note !== undefined && { note }),
          ...(trace !== undefined && { trace }),
        }),
      ),
    );
  }

  loadState(sessionId: string) {
    return this.step(() => this.find(sessionId)?.state);
  }

  storeState(sessionId: string, value: string, expected: string | undefined, given?: string) {
    this.stores += 1;
    const mark = `${this.options.nodeId}:${given ?? this.stores.toString(36)}`;
    return this.step(() => {
      const session = this.find(sessionId);
      if (session === undefined) return 'gone' as const;
      if (expected !== undefined && expected !== session.state.version) return 'conflict' as const;
      const count = parseInt(session.state.version || '0', 10) + 1;
      session.state = { version: `${String(count)}.${mark}`, value };
      return 'stored' as const;
    });
  }

  send(nodeId: string, message: NodeMessage): Promise<void> {
    return this.step(() => this.shared.tell(nodeId, message));
  }

  alive(nodeIds: string[]) {
    return this.step(() => new Set(nodeIds.filter((id) => this.shared.nodes.has(id))));
  }

  /** A node that has not left is alive, and never loses its lease. */
  steadySince(): number {
    return 0;
  }

  timeOf(): Promise<number> {
    return this.step((now) => now);
  }

  leave(): Promise<void> {
    this.left = true;
    this.shared.sdkStores.leave(this.options.nodeId);
    this.shared.nodes.delete(this.options.nodeId);
    return Promise.resolve();
  }

  /** Carries out a step at once. Its messages are delivered in a later turn of the event loop. */
  private step<T>(run: (now: number) => T): Promise<T> {
    if (this.left) {
      return Promise.reject(new AnynodeError('closed', 'This node has left the backplane'));
    }
    // A step is carried out at once, so no step of another node comes between.
    this.shared.outbox.limits = this.options.audit;
    try {
      return Promise.resolve(run(this.shared.now(this.options.clock)));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Throws {@link TooManySessions} if the principal must not have another session. */
  private checkQuota(session: NewSession, most: Most, now: number): void {
    const weight = pendingWeight(session);
    this.shared.heaviest = Math.max(this.shared.heaviest, weight);
    const atMost = this.shared.sessions.size * this.shared.heaviest + weight;
    if (atMost <= Math.min(most.sessions, most.pending)) return;
    const since = now - this.options.pendingTtlMs;
    let [sessions, pending] = [0, weight];
    for (const other of this.shared.sessions.values()) {
      if (other.stored.principal !== session.principal || other.expiresAt <= now) continue;
      sessions += 1;
      if (!other.confirmed && other.stored.createdAt >= since) pending += other.weight;
    }
    if (sessions >= most.sessions) throw new TooManySessions('sessions');
    if (pending > most.pending) throw new TooManySessions('pending');
  }

  private find(sessionId: string): StoredSession | undefined {
    const session = this.shared.sessions.get(sessionId);
    if (session === undefined) return undefined;
    const now = this.shared.now(this.options.clock);
    if (session.expiresAt <= now) {
      this.shared.expire(sessionId, now);
      return undefined;
    }
    session.log.expire(now);
    return session;
  }

  private keep(session: StoredSession, now: number): void {
    const { sessionTtlMs, pendingTtlMs } = this.options;
    session.expiresAt = now + (session.confirmed ? sessionTtlMs : pendingTtlMs);
  }

  /**
   * Removes expired sessions. It looks at a few at a time, the oldest first, so that no single call takes long. A map keeps
   * the order of insertion.
   */
  private clearExpired(now: number): void {
    let looked = 0;
    for (const [id, session] of this.shared.sessions) {
      looked += 1;
      if (session.expiresAt <= now) {
        this.shared.expire(id, now);
      } else {
        this.shared.sessions.delete(id);
        this.shared.sessions.set(id, session); // moves it to the end, to be looked at last
      }
      if (looked === 4) return;
    }
  }
}
