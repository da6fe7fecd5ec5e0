import type {
  Commit,
  CommitReply,
  LogId,
  NewSession,
  Position,
} from '../../src/backplane/backplane.js';
import { compareLogIds, formerExecutor, RELEASED } from '../../src/backplane/backplane.js';
import { Cursors } from '../../src/stream/cursor.js';
import type { Witness } from './backplane.js';
import { HORIZON_MS } from './plan.js';
import { TaskLedger } from './task-ledger.js';
import type {
  Stored,
  Claimed,
  Opened,
  Begun,
  Loss,
  Pushed,
  Counted,
  Broadcast,
  Requested,
  Execution,
  LegacyConnection,
  Question,
  Place,
  CallRecord,
  Showing,
  Asked,
} from './records.js';
import type { Scheduler } from './scheduler.js';

/** What really happened in a run, as far as the checks need it. */
export class Ledger implements Witness {
  readonly stored: Stored[] = [];
  /** The messages of clients that were stored: their texts, by session. */
  readonly received = new Map<string, Set<string>>();
  /** The stream of each request, by session and progress token. A request without a token is named by its id. */
  readonly streams = new Map<string, string>();
  /** From when to when each request was open in the backplane. */
  readonly opened: Opened[] = [];
  readonly executions: Execution[] = [];
  readonly questions: Question[] = [];
  readonly showings: Showing[] = [];
  /** Messages that nodes wrote to connections, whether or not they arrived. */
  readonly written: {
    connection: string;
    sessionId: string;
    place: Place;
    at: number;
    /** True if the connection came with a cursor. */
    resumed: boolean;
    /** How many bytes waited for the connection before this message. */
    waiting: number;
  }[] = [];
  /** The cursors with which clients asked to resume, whatever the response was. */
  readonly resumptions: { sessionId: string; place: Place; at: number }[] = [];
  readonly asked: Asked[] = [];
  readonly tasks: TaskLedger;
  readonly legacy: LegacyConnection[] = [];
  readonly calls: CallRecord[] = [];
  readonly bornAt = new Map<string, number>();
  readonly principals = new Map<string, string>();
  readonly removedAt = new Map<string, number>();
  /** Sessions that have expired, with the time at which that was seen. */
  readonly expiredAt = new Map<string, number>();
  /** When the client was told that its session has ended. */
  readonly deletedAt = new Map<string, number>();
  readonly claims: Claimed[] = [];
  /** Sessions that got another owner because the earlier owner was taken for dead. */
  readonly successions: { sessionId: string; from: string; by: string; at: number }[] = [];
  readonly begun: Begun[] = [];
  /** Sessions whose owner is an earlier one again, because the backplane has lost the change of the owner. */
  readonly reowned: { sessionId: string; at: number }[] = [];
  readonly losses: Loss[] = [];
  /** When the first master took over whose clock is ahead. From then on, anything with a time to live may end sooner. */
  clockWentAheadAt = Infinity;
  /** When the first master took over whose clock is behind. */
  clockWentBackAt = Infinity;
  /** By how much such clocks went back in total. Anything with a time to live may end later by this much. */
  clockBackMs = 0;
  /** Sessions that had ended, and exist again because the backplane has lost their end. */
  readonly goneBetween: { sessionId: string; from: number; to: number }[] = [];
  /** Notifications to one session from outside of a call (`session(id).notify`). */
  readonly pushed: Pushed[] = [];
  readonly counted: Counted[] = [];
  readonly requested: Requested[] = [];
  /**
   * The times in which all nodes, or the node in one slot, could not write to the backplane, in the order of their
   * beginnings.
   */
  private readonly outages: { slot: number | undefined; from: number; to: number }[] = [];
  /** Notifications to all sessions (`notify.toolsChanged` and `notify.resourceUpdated`). */
  readonly broadcasts: Broadcast[] = [];
  /** Cancellations that were acknowledged with 202. */
  readonly cancellations: {
    sessionId: string;
    id: string;
    askedAt: number;
    acknowledgedAt: number;
  }[] = [];
  /** Violations that were found while the run went on. */
  readonly seen: string[] = [];

  constructor(private readonly scheduler: Scheduler) {
    this.tasks = new TaskLedger(scheduler);
  }

  get now(): number {
    return this.scheduler.elapsed;
  }

  /** Notes that the answer to a question was acknowledged with 202. */
  answerTaken(mark: string): void {
    for (const asked of [...this.questions, ...this.requested]) {
      if (asked.mark === mark) asked.acknowledgedAt ??= this.now;
    }
  }

  created(nodeId: string, session: NewSession, positions: Position[]): void {
    this.bornAt.set(session.id, this.now);
    this.principals.set(session.id, session.principal);
    if (session.inbound !== undefined) this.receivedText(session.id, session.inbound);
    session.outbound.forEach(({ stream, message, asks }, at) => {
      const { n = 0, logId = '' } = positions[at + 1] ?? {};
      this.stored.push({
        ...{ sessionId: session.id, stream, n, message, nodeId, at: this.now, lost: false },
        ...{ logId, trimmedAt: undefined },
        id: new Cursors(session.id).format(stream, { n, logId }),
        end: at === session.outbound.length - 1,
        asker: asks ? nodeId : undefined,
      });
    });
  }

  committed(nodeId: string, { sessionId, operations }: Commit, reply: CommitReply): void {
    if (reply.status === 'gone') return;
    operations.forEach((operation, index) => {
      const result = reply.results[index];
      if (operation.type === 'append' && result?.status === 'appended') {
        const { stream, message, ends } = operation;
        if (ends !== undefined) this.close(sessionId, stream, ends);
        this.stored.push({
          ...{ sessionId, stream, message, nodeId, at: this.now, lost: false },
          ...{ n: result.position.n, logId: result.position.logId, trimmedAt: undefined },
          id: new Cursors(sessionId).format(stream, result.position),
          end: result.ended,
          asker: operation.asks === true ? nodeId : undefined,
        });
      } else if (operation.type === 'exchange' && result?.status === 'exchanged') {
        const { stream, message, answer, request } = operation;
        this.receivedText(sessionId, message);
        this.streams.set(`${sessionId} ${keyOf(message)}`, stream);
        this.open(sessionId, stream, request);
        this.close(sessionId, stream, request);
        this.stored.push({
          ...{ sessionId, stream, message: answer, nodeId, at: this.now, lost: false },
          ...{ n: 1, logId: result.answered.logId, trimmedAt: undefined, end: true },
          ...{ id: new Cursors(sessionId).format(stream, result.answered), asker: undefined },
        });
      } else if (operation.type === 'open' && result?.status === 'opened') {
        for (const text of operation.messages) {
          this.receivedText(sessionId, text);
          this.streams.set(`${sessionId} ${keyOf(text)}`, operation.stream);
        }
        for (const id of operation.requests) this.open(sessionId, operation.stream, id);
        const open = this.opened.filter(
          (each) => each.sessionId === sessionId && each.endedAt === undefined,
        );
        if (open.length > (operation.most ?? Infinity) && !this.mayHaveLost(sessionId, 0)) {
          this.seen.push(
            `7 limits: ${sessionId} has ${open.length} requests with those of ${operation.stream}`,
          );
        }
      } else if (operation.type === 'abandon') {
        for (const id of operation.requests) this.close(sessionId, operation.stream, id);
      } else if (operation.type === 'receive' && result?.status === 'received') {
        this.receivedText(sessionId, operation.message);
      } else if (operation.type === 'claim' && result?.status === 'claimed') {
        const { stream, from: executor } = operation;
        const from = formerExecutor(executor) ?? RELEASED;
        this.claimed(sessionId, stream, from, result.owner ?? nodeId);
      } else if (operation.type === 'assign' && result?.status === 'assigned' && result.again) {
        const stream = operation.stream ?? '';
        this.claimed(sessionId, stream, RELEASED, nodeId);
      }
      const isAsserted = operation.type === 'claim' && operation.from === nodeId;
      const isGiven = result?.status === 'assigned' && result.requests !== undefined;
      if (isGiven || (isAsserted && result?.status === 'claimed')) {
        const { stream = '' } = operation as { stream?: string };
        this.begun.push({ sessionId, stream, nodeId, lost: false });
      }
      if (operation.type === 'assign' && result?.status === 'assigned') {
        const { dead: from } = operation;
        if (from === undefined || result.executor !== nodeId) return;
        this.successions.push({ sessionId, from, by: nodeId, at: this.now });
      }
    });
  }

  removed(sessionId: string): void {
    this.removedAt.set(sessionId, this.now);
  }

  gone(sessionId: string): void {
    if (this.removedAt.has(sessionId)) return;
    this.removedAt.set(sessionId, this.now);
    this.expiredAt.set(sessionId, this.now);
    this.scheduler.note(`${sessionId} has expired`);
  }

  logBegins(sessionId: string, logId: LogId | undefined): void {
    for (const entry of this.stored) {
      if (entry.sessionId !== sessionId || entry.trimmedAt !== undefined) continue;
      const isKept = logId !== undefined && compareLogIds(entry.logId, logId) >= 0;
      if (!isKept) entry.trimmedAt = this.now;
    }
  }

  /**
   * Whether the log of a session was trimmed before the time `by`. With `from`, whether it lost entries of that stream from
   * that place on.
   */
  isTrimmed(sessionId: string, by: number, from?: Pick<Place, 'stream' | 'n'>): boolean {
    return this.stored.some(
      (entry) =>
        entry.sessionId === sessionId &&
        (entry.trimmedAt ?? Infinity) <= by &&
        (from === undefined || (entry.stream === from.stream && entry.n >= from.n)),
    );
  }

  mark(): (sessionIds: string[], reowned: string[]) => void {
    const [since, stored, claims] = [this.now, this.stored.length, this.claims.length];
    const begun = this.begun.length;
    return (sessionIds, reowned) => {
      for (const sessionId of reowned) this.reowned.push({ sessionId, at: this.now });
      for (const sessionId of sessionIds) {
        this.losses.push({ sessionId, since, at: this.now });
        if ((this.bornAt.get(sessionId) ?? 0) > since) this.removedAt.set(sessionId, this.now);
        else if ((this.removedAt.get(sessionId) ?? 0) > since) {
          this.goneBetween.push({
            sessionId,
            from: this.removedAt.get(sessionId) ?? 0,
            to: this.now,
          });
          this.removedAt.delete(sessionId);
          this.expiredAt.delete(sessionId);
          this.deletedAt.delete(sessionId);
        }
      }
      for (const entry of [
        ...this.stored.slice(stored),
        ...this.claims.slice(claims),
        ...this.begun.slice(begun),
      ]) {
        if (sessionIds.includes(entry.sessionId)) entry.lost = true;
      }
    };
  }

  /** Whether a failover may have lost something of the session that was stored in this time. */
  mayHaveLost(sessionId: string, from: number, to = Infinity): boolean {
    return this.losses.some(
      (loss) => loss.sessionId === sessionId && loss.since <= to && loss.at >= from,
    );
  }

  /**
   * Notes that all nodes, or the node in this slot, cannot write to the backplane for `ms`, or until nothing fails any
   * more.
   */
  outage(ms: number, slot?: number): void {
    this.outages.push({ slot, from: this.now, to: Math.min(this.now + ms, HORIZON_MS) });
  }

  /** How long in this time the node in this slot could not write to the backplane. */
  outageMs(slot: number, from: number, to: number): number {
    let ms = 0;
    let at = from;
    for (const outage of this.outages) {
      const until = Math.min(outage.to, to);
      if ((outage.slot ?? slot) !== slot || until <= at) continue;
      ms += Math.max(until - Math.max(outage.from, at), 0);
      at = Math.max(at, until);
    }
    return ms;
  }

  /** Whether the backplane has lost a change of the session's owner in this time. */
  isReowned(sessionId: string, from: number, to: number): boolean {
    return this.reowned.some(
      (each) => each.sessionId === sessionId && each.at > from && each.at <= to,
    );
  }

  /** Whether the backplane has lost every step in which the node of this execution said that it has begun the stream. */
  isForgotten({ sessionId, key, nodeId }: Execution): boolean {
    const stream = this.streams.get(`${sessionId} ${key}`);
    const steps = this.begun.filter(
      (each) => each.sessionId === sessionId && each.stream === stream && each.nodeId === nodeId,
    );
    return steps.length > 0 && steps.every(({ lost }) => lost);
  }

  /** Whether a request of a client was stored, by its id and its progress token, which is the id if it has none. */
  wasReceived(sessionId: string, requestId: string, token: string): boolean {
    // The probes of clients have no token, and no other request uses their ids.
    return [...(this.received.get(sessionId) ?? [])].some(
      (text) =>
        text.includes(`"id":${requestId},`) &&
        (token === requestId || text.includes(`"progressToken":"${token}"`)),
    );
  }

  /** Notes an open request. A repeat of the step finds the request open, and changes nothing. */
  private open(sessionId: string, stream: string, id: string): void {
    const same = this.opened.filter((each) => each.sessionId === sessionId && each.id === id);
    if (same.some((each) => each.stream === stream)) return;
    const inUse = same.find(({ endedAt }) => endedAt === undefined);
    if (inUse !== undefined && !this.mayHaveLost(sessionId, 0)) {
      this.seen.push(`3 ids in use: ${id} of ${sessionId} on ${stream} and on ${inUse.stream}`);
    }
    this.opened.push({ sessionId, stream, id, at: this.now, endedAt: undefined });
  }

  private close(sessionId: string, stream: string, id: string): void {
    const opened = this.opened.find(
      (each) => each.sessionId === sessionId && each.stream === stream && each.id === id,
    );
    if (opened !== undefined) opened.endedAt ??= this.now;
  }

  private claimed(sessionId: string, stream: string, from: string, by: string): void {
    this.claims.push({ sessionId, stream, from, by, at: this.now, lost: false });
  }

  private receivedText(sessionId: string, text: string): void {
    const texts = this.received.get(sessionId) ?? new Set();
    texts.add(text);
    this.received.set(sessionId, texts);
  }
}

function keyOf(text: string): string {
  const { id, params } = JSON.parse(text) as {
    id: unknown;
    params?: { _meta?: { progressToken?: string } };
  };
  return params?._meta?.progressToken ?? JSON.stringify(id);
}
