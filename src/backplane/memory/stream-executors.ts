import type { AssignOperation, ClaimOperation, OperationResult } from '../backplane.js';
import { LOOK_HOLDS_MS, RELEASED } from '../backplane.js';
import type { SessionParts, Step, Stream } from './stored-stream.js';

/** The executors of a session's streams, and the owner of the session. */
export class StreamExecutors {
  /** The number of the commit that made the session's owner the owner. */
  private owned: number | undefined;

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
    const claimed = {
      ...{ status: 'claimed' as const, requests: this.requestsOf(operation.stream) },
      ...(stream.trace !== undefined && { trace: stream.trace }),
    };
    if (stream.unbegun === true && stream.executor !== undefined) {
      stream.again = true;
      return { ...claimed, owner: stream.executor };
    }
    this.session.registerReplica(operation.revision, step);
    return claimed;
  }

  /** Returns the owner of the session. This node becomes the owner if there is none, or if the owner is the dead node. */
  takeOwnershipIfFree(step: Step, dead?: string): string {
    const { nodeId, repeated } = step;
    const { owner, id: sessionId } = this.session.stored;
    if (repeated || (owner !== undefined && owner !== dead)) return owner ?? '';
    if (owner !== undefined) this.session.tell(owner, { type: 'disowned', sessionId });
    this.session.stored.owner = nodeId;
    step.becameOwner = true;
    this.owned = step.number;
    return nodeId;
  }

  /** True if this commit, or its first run, has made the node the owner. */
  becameOwner({ nodeId, number, repeated, becameOwner }: Step): boolean {
    if (!repeated) return becameOwner;
    return this.session.stored.owner === nodeId && this.owned === number;
  }

  /**
   * True if the replica that has sent a message is from an earlier time as owner. It is if this node does not own the session,
   * or if this commit has made the node the owner again, because any replica was built before that.
   */
  isFormerOwner(step: Step): boolean {
    return this.session.stored.owner !== step.nodeId || this.becameOwner(step);
  }

  /**
   * Makes this node the owner if no node or the node `dead` owns the session, and returns the owner. The streams that a former
   * owner has begun are given up, but for `except`. That node may only have been paused, but its replica is outdated.
   */
  private succeed(step: Step, dead: string | undefined, except?: string): string {
    const former = this.session.stored.owner;
    const owner = this.takeOwnershipIfFree(step, dead);
    if (former === undefined || owner === former) return owner;
    for (const [name, stream] of this.session.streams) {
      if (stream.executor !== former || stream.unbegun === true || name === except) continue;
      this.giveUp(name, stream, `${RELEASED}${former}`);
    }
    return owner;
  }

  /** Gives a stream up and tells its holder's node, which may end or rerun the requests at once. `knows` is not told. */
  private giveUp(name: string, stream: Stream, executor: string, knows?: string): void {
    stream.executor = executor;
    const { holder } = stream;
    if (holder === undefined || holder.nodeId === knows) return;
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
      if (executor === nodeId) this.session.registerReplica(revision, step);
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
    this.session.registerReplica(revision, step);
    const requests = this.requestsOf(name);
    const { again, last } = stream;
    return {
      ...{ status: 'assigned', executor, begun: true, logId: last.logId, requests },
      ...(again === true && { again }),
    };
  }

  /** True if this node may give the stream up: it has begun the stream, or no node has begun it yet. */
  mayAbandon(name: string, { nodeId }: Step): boolean {
    const stream = this.session.streams.get(name);
    return stream !== undefined && (stream.unbegun === true || stream.executor === nodeId);
  }

  /** True if this node has begun the stream, and no other node has taken it over. */
  executes(name: string, nodeId: string): boolean {
    const stream = this.session.streams.get(name);
    return stream?.executor === nodeId && stream.unbegun !== true;
  }

  /**
   * True if this node executes the stream. If this node is to begin the stream, its message begins it. Such a node has begun the
   * stream before, and a failover has lost that step, perhaps together with the node's name in the list of replicas.
   */
  executesOrBegins(name: string, step: Step): boolean {
    const stream = this.session.streams.get(name);
    const { nodeId } = step;
    if (stream?.executor !== nodeId) return false;
    if (stream.unbegun !== true) return true;
    const { stored } = this.session;
    if ((stored.owner ?? nodeId) !== nodeId) return false;
    // The replica of such a node runs the request, so the reply does not say that the node has become the owner.
    stored.owner = nodeId;
    give(stream, nodeId, step);
    stream.assignedBy = step.number;
    this.session.registerReplica(this.session.stored.revision, step);
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
    // A stream that this node has not begun is not released. Its owner will be found dead, and another node begins it.
    if (stream?.executor !== step.nodeId || stream.unbegun === true) return;
    this.giveUp(name, stream, RELEASED, step.nodeId);
  }
}

/** True if a look is too old to be relied on. See dead-nodes.lua. */
export function isStale(lookedAt: number | undefined, { now }: Pick<Step, 'now'>): boolean {
  if (lookedAt === undefined) return false;
  const age = now - lookedAt;
  return age < 0 || age > LOOK_HOLDS_MS;
}

/** Makes a node the executor of a stream. If it is not the node of this step, it still has to begin. */
export function give(stream: Stream, executor: string, { nodeId }: Step): void {
  stream.executor = executor;
  stream.unbegun = executor !== nodeId;
}

/** Makes the result `dropped`, with the executor of the stream. */
export function dropped(stream: Stream | undefined): OperationResult {
  const { executor, unbegun, again } = stream ?? {};
  return {
    status: 'dropped',
    ...(executor !== undefined && { executor }),
    ...(unbegun === true && { unbegun }),
    ...(unbegun === true && again === true && { again }),
  };
}
