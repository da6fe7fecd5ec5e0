import type { AssignOperation, ClaimOperation, OperationResult } from '../backplane.js';
import { LOOK_HOLDS_MS, RELEASED } from '../backplane.js';
import type { SessionParts, Step, Stream } from './stored-stream.js';

/** Who executes which stream of a session, who is to, and who owns the session. */
export class StreamExecutors {
  constructor(private readonly session: SessionParts) {}

  claim(operation: ClaimOperation, step: Step): OperationResult {
    const { from, owned, lookedAt } = operation;
    const stream = this.session.streams.get(operation.stream);
    if (step.repeated) {
      const given = stream?.unbegun === true && stream.again === true;
      const elsewhere = !given && (stream?.unbegun === true || stream?.executor !== step.nodeId);
      if (stream === undefined || elsewhere) return dropped(stream);
    } else {
      const isReleased = from !== step.nodeId && stream?.executor === `${RELEASED}${from}`;
      const isFrom = stream?.executor === from || isReleased;
      if (stream === undefined || !isFrom) return dropped(stream);
      if (stream.executor === from && isStale(lookedAt, step)) return { status: 'stale' };
      give(stream, owned === true ? this.succeed(step, from, operation.stream) : step.nodeId, step);
    }
    const requests = this.requestsOf(operation.stream);
    if (stream.unbegun === true && stream.executor !== undefined) {
      stream.again = true;
      return { status: 'claimed', requests, owner: stream.executor };
    }
    this.session.check(operation.revision, step);
    return { status: 'claimed', requests };
  }

  /** The owner of the session: this node, where nobody is, or one that is known to be dead. */
  ownerUnless({ nodeId, repeated }: Step, dead?: string): string {
    const { owner, id: sessionId } = this.session.stored;
    if (repeated || (owner !== undefined && owner !== dead)) return owner ?? '';
    if (owner !== undefined) this.session.tell(owner, { type: 'disowned', sessionId });
    this.session.stored.owner = nodeId;
    return nodeId;
  }

  /**
   * Makes this node the owner in place of a dead one, and takes from that one what it has begun, but for one stream: it may
   * only have been paused, and its server is of the past.
   */
  private succeed(step: Step, dead: string | undefined, except?: string): string {
    const former = this.session.stored.owner;
    const owner = this.ownerUnless(step, dead);
    if (former === undefined || owner === former) return owner;
    for (const [name, stream] of this.session.streams) {
      if (stream.executor !== former || stream.unbegun === true || name === except) continue;
      this.giveUp(name, stream, `${RELEASED}${former}`, step);
    }
    return owner;
  }

  /** Whoever follows a stream may end its requests, or have them run again, at once. */
  private giveUp(name: string, stream: Stream, executor: string, { nodeId }: Step): void {
    stream.executor = executor;
    const { holder } = stream;
    if (holder === undefined || holder.nodeId === nodeId) return;
    const { id: sessionId } = this.session.stored;
    const { token } = holder;
    this.session.tell(holder.nodeId, { type: 'orphaned', sessionId, stream: name, token });
  }

  assign(operation: AssignOperation, step: Step): OperationResult {
    const { stream: name, dead, lookedAt, revision } = operation;
    const { nodeId, repeated } = step;
    const { owner } = this.session.stored;
    const isLate = !repeated && owner !== undefined && owner === dead && isStale(lookedAt, step);
    if (name === undefined) {
      if (isLate) return { status: 'stale' };
      const executor = this.succeed(step, dead);
      if (executor === nodeId) this.session.check(revision, step);
      return { status: 'assigned', executor, begun: false };
    }
    const stream = this.session.streams.get(name);
    if (stream?.executor === undefined) return { status: 'dropped' };
    const open = stream.unbegun === true;
    if (!repeated && open) {
      if (isLate) return { status: 'stale' };
      give(stream, this.succeed(step, dead), step);
      stream.assignedBy = step.number;
    }
    const { executor, unbegun } = stream;
    const mine =
      executor === nodeId &&
      unbegun !== true &&
      (repeated ? stream.assignedBy === step.number : open);
    if (!mine) return { status: 'assigned', executor, begun: unbegun !== true };
    this.session.check(revision, step);
    const requests = this.requestsOf(name);
    const { again, last } = stream;
    return {
      ...{ status: 'assigned', executor, begun: true, logId: last.logId, requests },
      ...(again === true && { again }),
    };
  }

  /** Begun by nobody, it is still the one's who opened it. */
  mayAbandon(name: string, { nodeId }: Step): boolean {
    const stream = this.session.streams.get(name);
    return stream !== undefined && (stream.unbegun === true || stream.executor === nodeId);
  }

  /** Whether this node has begun the stream, and nobody has taken it over. */
  executes(name: string, nodeId: string): boolean {
    const stream = this.session.streams.get(name);
    return stream?.executor === nodeId && stream.unbegun !== true;
  }

  /**
   * Whether this node executes the stream. A message of the node that is to begin the stream begins it: that node has begun
   * before, and a failover has lost it, perhaps together with the note that the node has a replica.
   */
  begins(name: string, step: Step): boolean {
    const stream = this.session.streams.get(name);
    const { nodeId } = step;
    if (stream?.executor !== nodeId) return false;
    if (stream.unbegun !== true) return true;
    if (this.ownerUnless(step) !== nodeId) return false;
    give(stream, nodeId, step);
    stream.assignedBy = step.number;
    this.session.check(this.session.stored.revision, step);
    return true;
  }

  all(): { stream: string; executor: string }[] {
    return [...this.session.streams].flatMap(([stream, { executor }]) =>
      executor === undefined ? [] : { stream, executor },
    );
  }

  private requestsOf(stream: string): string[] {
    return [...this.session.requests].flatMap(([id, of]) => (of === stream ? id : []));
  }

  release(name: string, step: Step): void {
    const stream = this.session.streams.get(name);
    // What it has not begun is not its own to leave behind: its owner is found dead, and another one begins it.
    if (stream?.executor !== step.nodeId || stream.unbegun === true) return;
    this.giveUp(name, stream, RELEASED, step);
  }
}

/** Whether a look is too old to build on. See dead-nodes.lua. */
export function isStale(lookedAt: number | undefined, { now }: Pick<Step, 'now'>): boolean {
  if (lookedAt === undefined) return false;
  const age = now - lookedAt;
  return age < 0 || age > LOOK_HOLDS_MS;
}

/** Another node than this one has to begin it by itself. */
export function give(stream: Stream, executor: string, { nodeId }: Step): void {
  stream.executor = executor;
  stream.unbegun = executor !== nodeId;
}

/** With who executes the stream, or is to. */
export function dropped(stream: Stream | undefined): OperationResult {
  const { executor, unbegun, again } = stream ?? {};
  return {
    status: 'dropped',
    ...(executor !== undefined && { executor }),
    ...(unbegun === true && { unbegun }),
    ...(unbegun === true && again === true && { again }),
  };
}
