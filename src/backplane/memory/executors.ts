import type {
  AssignOperation,
  ClaimOperation,
  OperationResult,
  SessionRecord,
} from '../backplane.js';
import { RELEASED } from '../backplane.js';
import type { Step, Stream, Tell } from './stream.js';

/** What belongs to the stored session of which this is a part. */
interface Parts {
  streams: Map<string, Stream>;
  /** The stream of each running request. */
  requests: Map<string, string>;
  stored: SessionRecord;
  tell: Tell;
  /** A caller that has no replica, or one of another revision, needs the record. */
  check(known: number | undefined, step: Step): void;
}

/** Who executes which stream of a session, who is to, and who owns the session. */
export class Executors {
  constructor(private readonly parts: Parts) {}

  claim(operation: ClaimOperation, step: Step): OperationResult {
    const { from, owned } = operation;
    const stream = this.parts.streams.get(operation.stream);
    if (step.repeated) {
      const elsewhere = stream?.unbegun !== true && stream?.executor !== step.nodeId;
      if (stream === undefined || elsewhere) return dropped(stream);
    } else {
      if (stream?.executor !== from) return dropped(stream);
      give(stream, owned === true ? this.ownerUnless(step, from) : step.nodeId, step);
    }
    const requests = this.requestsOf(operation.stream);
    if (stream.unbegun === true && stream.executor !== undefined) {
      stream.again = true;
      return { status: 'claimed', requests, owner: stream.executor };
    }
    this.parts.check(operation.revision, step);
    return { status: 'claimed', requests };
  }

  /** The owner of the session: this node, where nobody is, or one that is known to be dead. */
  ownerUnless({ nodeId, repeated }: Step, dead?: string): string {
    const { owner, id: sessionId } = this.parts.stored;
    if (repeated || (owner !== undefined && owner !== dead)) return owner ?? '';
    if (owner !== undefined) this.parts.tell(owner, { type: 'disowned', sessionId });
    this.parts.stored.owner = nodeId;
    return nodeId;
  }

  assign({ stream: name, dead, revision }: AssignOperation, step: Step): OperationResult {
    const { nodeId, repeated } = step;
    if (name === undefined) {
      const executor = this.ownerUnless(step, dead);
      if (executor === nodeId) this.parts.check(revision, step);
      return { status: 'assigned', executor, begun: false };
    }
    const stream = this.parts.streams.get(name);
    if (stream?.executor === undefined) return { status: 'dropped' };
    const open = stream.unbegun === true;
    if (!repeated && open) {
      give(stream, this.ownerUnless(step, dead), step);
      stream.assignedBy = step.number;
    }
    const { executor, unbegun } = stream;
    const mine =
      executor === nodeId &&
      unbegun !== true &&
      (repeated ? stream.assignedBy === step.number : open);
    if (!mine) return { status: 'assigned', executor, begun: unbegun !== true };
    this.parts.check(revision, step);
    const requests = this.requestsOf(name);
    const { again, last } = stream;
    return {
      ...{ status: 'assigned', executor, begun: true, logId: last.logId, requests },
      ...(again === true && { again }),
    };
  }

  /** Begun by nobody, it is still the one's who opened it. */
  mayAbandon(name: string, { nodeId }: Step): boolean {
    const stream = this.parts.streams.get(name);
    return stream !== undefined && (stream.unbegun === true || stream.executor === nodeId);
  }

  all(): { stream: string; executor: string }[] {
    return [...this.parts.streams].flatMap(([stream, { executor }]) =>
      executor === undefined ? [] : { stream, executor },
    );
  }

  private requestsOf(stream: string): string[] {
    return [...this.parts.requests].flatMap(([id, of]) => (of === stream ? id : []));
  }

  release(name: string, { nodeId }: Step): void {
    const stream = this.parts.streams.get(name);
    // What it has not begun is not its own to leave behind: its owner is found dead, and another one begins it.
    if (stream?.executor !== nodeId || stream.unbegun === true) return;
    stream.executor = RELEASED;
    const { holder } = stream;
    if (holder === undefined || holder.nodeId === nodeId) return;
    const { id: sessionId } = this.parts.stored;
    this.parts.tell(holder.nodeId, {
      type: 'orphaned',
      sessionId,
      stream: name,
      token: holder.token,
    });
  }
}

/** Another node than this one has to begin it by itself. */
export function give(stream: Stream, executor: string, { nodeId }: Step): void {
  stream.executor = executor;
  stream.unbegun = executor !== nodeId;
}

/** With who executes the stream, or is to. */
export function dropped(stream: Stream | undefined): OperationResult {
  const { executor, unbegun } = stream ?? {};
  return {
    status: 'dropped',
    ...(executor !== undefined && { executor }),
    ...(unbegun === true && { unbegun }),
  };
}
