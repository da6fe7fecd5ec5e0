/** A stream of a stored session, and the reading of its messages from the log. */
import type {
  AttachReply,
  AttachRequest,
  Holder,
  NodeMessage,
  OperationResult,
  Page,
  Position,
  ReadRequest,
  SessionRecord,
} from '../backplane.js';
import { compareLogIds, LOG_START } from '../backplane.js';
import type { Revision } from '../revision.js';
import type { MemoryLog } from './memory-log.js';
import { LOOK_ENTRIES } from './memory-log.js';

/** Sends a message to a node. */
export type Tell = (nodeId: string, message: NodeMessage) => void;

export interface Stream {
  last: Position;
  holder?: Holder;
  /** The earlier holders from which the connection took the stream, the latest first. */
  before?: Holder[];
  written?: Position;
  /** The number of the last message when a connection took the stream from another one. That one may have shown the message. */
  mayHaveShown?: number;
  executor?: string;
  /** True if the executor has not begun. */
  unbegun?: boolean;
  /** The number of the commit that assigned the stream. */
  assignedBy?: number;
  /** True if another node had begun the stream before. */
  again?: boolean;
  pending: number;
  trace?: string;
}

/** The members of a stored session that its parts use. */
export interface SessionParts {
  readonly stored: SessionRecord;
  readonly streams: Map<string, Stream>;
  /** The stream of each open request, by the request's id. */
  readonly requests: Map<string, string>;
  /** The nodes that have a replica of the session. */
  readonly replicas: Set<string>;
  readonly log: MemoryLog;
  readonly tell: Tell;
  tellReplicas(except: string, message: (nodeId: string) => string | undefined): void;
  /**
   * Notes that the node has a replica (unless `known` is `UNKNOWN_REVISION`). Gives it the record if `known` is not the
   * current revision.
   */
  registerReplica(known: Revision | undefined, step: Step): void;
}

/** How many earlier holders a stream keeps. It goes back to one of them if the connections after that one were never used. */
export const PREDECESSORS = 4;

export const BEGINNING: Position = { n: 0, logId: LOG_START };

/** One commit of a node, while it is carried out. */
export interface Step {
  nodeId: string;
  number: number;
  repeated: boolean;
  now: number;
  /** True if the client used the session, which keeps the session alive. */
  used: boolean;
  /** True if this commit has made the node the owner. */
  becameOwner: boolean;
  stale: boolean;
  /** True if the outbox of the audit trail refuses operations that begin something. */
  isFull: boolean;
  /** The result of the operation before this one. */
  before?: OperationResult | undefined;
}

/** Returns the position from which a connection with this cursor goes on, or what is wrong with the cursor. */
export function placeOf(
  log: MemoryLog,
  stream: Stream | undefined,
  request: AttachRequest,
): Position | Extract<AttachReply, { status: 'trimmed' | 'unknown' | 'ended' }> {
  const last = stream?.last.n ?? 0;
  const position = { ...(request.cursor ?? stream?.written ?? BEGINNING) };
  const after = log.ofStream(request.stream, position.logId, 1, stream?.last.logId).events;
  const [found] = after;
  if (request.cursor === undefined) {
    if (found !== undefined) position.n = found.position.n - 1;
    else Object.assign(position, stream?.last ?? { n: last });
  } else if (found !== undefined) {
    if (found.position.n > position.n + 1) return { status: 'trimmed' };
    position.n = Math.min(position.n, found.position.n - 1);
  } else if (stream !== undefined) {
    if (isMissing(stream.last, position)) return { status: 'trimmed' };
    if (last < position.n) Object.assign(position, stream.last);
  } else if (log.at(position.logId)?.stream !== request.stream) {
    return { status: 'unknown' };
  }
  if (stream === undefined && after.at(-1)?.message === undefined) return { status: 'ended' };
  return position;
}

/**
 * Whether a client has missed the last message of a stream. It is asked when the log has no message after the client's place
 * `after`. If the last message comes after that place, the log has trimmed it. See attach.lua.
 */
function isMissing(last: Position, after: Position): boolean {
  if (last.n !== after.n) return last.n > after.n;
  return last.n > 0 && compareLogIds(last.logId, after.logId) > 0;
}

/** Reads a page of a stream. See read.lua. */
export function pageOf(
  log: MemoryLog,
  stream: Stream | undefined,
  { stream: name, after, maxBytes }: ReadRequest,
): Page {
  const page = log.ofStream(name, after.logId, maxBytes, stream?.last.logId, LOOK_ENTRIES);
  const first = page.events[0]?.position.n;
  const last = stream?.last.n ?? 0;
  let restart: number | undefined;
  if (first !== undefined) {
    if (first > after.n + 1) return { status: 'trimmed' };
    if (first <= after.n) restart = first - 1;
  } else if (stream !== undefined && !page.more) {
    if (isMissing(stream.last, after)) return { status: 'trimmed' };
    if (last < after.n) {
      restart = last;
      page.scanned = stream.last.logId;
    }
  }
  return {
    status: 'ok',
    ...page,
    open: stream !== undefined,
    ...(restart !== undefined && { restart }),
  };
}
