/** One stream of a stored session, and what can be said of it from the log. */
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
import { LOG_START } from '../backplane.js';
import type { Revision } from '../revision.js';
import type { MemoryLog } from './memory-log.js';
import { LOOK_ENTRIES } from './memory-log.js';

/** Sends to a node. */
export type Tell = (nodeId: string, message: NodeMessage) => void;

export interface Stream {
  last: Position;
  holder?: Holder;
  /** Those from which that connection took it, the latest first. */
  before?: Holder[];
  written?: Position;
  executor?: string;
  /** The executor has not begun. */
  unbegun?: boolean;
  /** The number of the commit that assigned it. */
  assignedBy?: number;
  /** Another node had begun before. */
  again?: boolean;
  pending: number;
}

/** A stored session, as its parts see it. */
export interface SessionParts {
  readonly stored: SessionRecord;
  readonly streams: Map<string, Stream>;
  /** The stream of each running request. */
  readonly requests: Map<string, string>;
  /** Nodes that have a server object of the session. */
  readonly replicas: Set<string>;
  readonly log: MemoryLog;
  readonly tell: Tell;
  tellReplicas(except: string, message: (nodeId: string) => string | undefined): void;
  /** A caller that has no replica, or one of another revision, needs the record. */
  check(known: Revision | undefined, step: Step): void;
}

/** So many claims in a row may turn out never to have been used. */
export const PREDECESSORS = 4;

export const BEGINNING: Position = { n: 0, logId: LOG_START };

/** One commit of one node. */
export interface Step {
  nodeId: string;
  number: number;
  repeated: boolean;
  now: number;
  /** By its client, which keeps it alive. */
  used: boolean;
  stale: boolean;
  /** What came of the operation before this one. */
  before?: OperationResult | undefined;
}

/** Where a connection goes on from that comes with this cursor, or what is wrong with the cursor. */
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
    position.n = found === undefined ? last : found.position.n - 1;
  } else if (found !== undefined) {
    if (found.position.n > position.n + 1) return { status: 'trimmed' };
    position.n = Math.min(position.n, found.position.n - 1);
  } else if (stream !== undefined) {
    if (last > position.n) return { status: 'trimmed' };
    if (last < position.n) Object.assign(position, stream.last);
  } else if (log.at(position.logId)?.stream !== request.stream) {
    return { status: 'unknown' };
  }
  if (stream === undefined && after.at(-1)?.message === undefined) return { status: 'ended' };
  return position;
}

/** See read.lua. */
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
    if (last > after.n) return { status: 'trimmed' };
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
