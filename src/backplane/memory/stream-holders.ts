import type {
  AttachReply,
  AttachRequest,
  DetachOperation,
  Holder,
  Page,
  Position,
  ReadRequest,
  TouchReply,
  TouchRequest,
} from '../backplane.js';
import { STANDALONE } from '../backplane.js';
import { isStale } from './stream-executors.js';
import type { SessionParts, Step } from './stored-stream.js';
import { pageOf, placeOf, PREDECESSORS } from './stored-stream.js';

/** The holders of a session's streams: how a connection attaches to a stream, reads it, keeps it and leaves it. */
export class StreamHolders {
  constructor(private readonly session: SessionParts) {}

  attach(nodeId: string, request: AttachRequest, now: number): AttachReply {
    if (request.principal !== this.session.stored.principal) return { status: 'gone' };
    const stream = this.session.streams.get(request.stream);
    const held = stream?.holder;
    const isOwn = (holder: Holder): boolean =>
      holder.nodeId === nodeId && holder.token === request.token;
    const before = stream?.before ?? [];
    // In a repeat, another connection may have taken the stream since the first try. That connection keeps it.
    const at = before.findIndex(isOwn);
    const superseded = at >= 0;
    const again = superseded || (held !== undefined && isOwn(held));
    const holder = again ? before[at + 1] : held;
    const { deadHolder: dead } = request;
    const isOfDead = dead?.nodeId === holder?.nodeId && dead?.token === holder?.token;
    const isDead = isOfDead && !isStale(request.lookedAt, { now });
    if (request.unlessHeld && !superseded && holder !== undefined && !isDead) {
      return { status: 'conflict', holder };
    }

    const place = placeOf(this.session.log, stream, request);
    if ('status' in place) return place;
    if (stream !== undefined && !superseded) {
      stream.holder = { nodeId, token: request.token };
      if (!again && held !== undefined) {
        stream.before = [held, ...before].slice(0, PREDECESSORS);
        if (request.stream === STANDALONE) stream.mayHaveShown = stream.last.n;
        if (held.nodeId !== nodeId) {
          const { stream: name, sessionId } = request;
          this.session.tell(held.nodeId, {
            type: 'taken',
            sessionId,
            stream: name,
            token: held.token,
          });
        }
      }
      if (request.stream === STANDALONE) this.tellFollowed(nodeId);
    }
    this.session.stored.lastSeenAt = now;
    if (request.cursor !== undefined && !again)
      this.session.log.noteResumed(now, nodeId, request.stream);
    return {
      status: 'attached',
      position: place,
      protocolVersion: this.session.stored.protocolVersion,
      ...(holder !== undefined && { previous: holder }),
      ...(stream?.executor !== undefined && { executor: stream.executor }),
      ...(stream?.unbegun === true && { unbegun: true }),
      ...(stream?.trace !== undefined && { trace: stream.trace }),
    };
  }

  read(nodeId: string, request: ReadRequest): Page {
    const stream = this.session.streams.get(request.stream);
    const holder = stream?.holder;
    const isReader = holder?.nodeId === nodeId && holder.token === request.token;
    if (request.token !== undefined && stream !== undefined && !isReader) return { status: 'lost' };
    return pageOf(this.session.log, stream, request);
  }

  touch(nodeId: string, request: TouchRequest): TouchReply {
    const streams = request.streams.map(({ stream: name, token, position }) => {
      const stream = this.session.streams.get(name);
      const held = stream?.holder?.nodeId === nodeId && stream.holder.token === token;
      if (held && name === STANDALONE && position.n > (stream.written?.n ?? 0)) {
        stream.written = position;
      }
      return { last: stream?.last.n ?? 0, held, ended: stream === undefined };
    });
    const runs = (request.runs ?? []).map(
      (name) => this.session.streams.get(name)?.executor === nodeId,
    );
    return { status: 'ok', streams, runs };
  }

  detach(operation: DetachOperation, step: Step): void {
    const stream = this.session.streams.get(operation.stream);
    if (stream === undefined) return;
    if (operation.stream === STANDALONE && operation.position.n > (stream.written?.n ?? 0)) {
      stream.written = operation.position;
    }
    const isMe = (other: Holder | undefined): boolean =>
      other?.nodeId === step.nodeId && other.token === operation.token;
    stream.before = stream.before?.filter((other) => !isMe(other)) ?? [];
    if (!isMe(stream.holder)) return;
    const back = operation.neverUsed === true ? stream.before.shift() : undefined;
    if (back !== undefined) {
      stream.holder = back;
      this.tellToLook(back, operation.stream, stream.last, false);
    } else {
      delete stream.holder;
      delete stream.before;
    }
    if (operation.stream === STANDALONE) this.tellFollowed(stream.holder?.nodeId);
  }

  followedBy(): string | undefined {
    return this.session.streams.get(STANDALONE)?.holder?.nodeId;
  }

  /** Tells a connection that its stream has something new in the log. */
  tellToLook({ nodeId, token }: Holder, stream: string, position: Position, end: boolean): void {
    const event = { position, message: undefined, end };
    this.session.tell(nodeId, {
      ...{ type: 'event', sessionId: this.session.stored.id, stream, token, event },
      inline: false,
    });
  }

  private tellFollowed(by: string | undefined): void {
    for (const node of this.session.replicas) {
      this.session.tell(node, { type: 'followed', sessionId: this.session.stored.id, by });
    }
  }
}
