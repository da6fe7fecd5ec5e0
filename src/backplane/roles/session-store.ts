/** The role of a backplane that nodes create sessions with. */
import type { ListKind } from '../operations.js';
import type { LogId, Position } from '../positions.js';
import type { SessionRecord, SessionRecords } from './session-records.js';

/** Each call may reject with `backplane_unavailable`. */
export interface SessionStore extends SessionRecords {
  /**
   * Stores a session in one atomic step: its record, and the first entries of its log. The log begins with the note
   * `session.created`; then come `inbound`, if there is one, and `outbound`, in this order. The creating node counts as one
   * that has a replica. Returns the positions of the messages (not of the note) in their order, `inbound` with number 0.
   *
   * Returns `false`, and changes nothing, if the id is taken. The id of a session that has ended or expired is free: nothing
   * of the former session may be left then. Rejects with {@link TooManySessions} if the principal has `most` sessions
   * already; the session does not exist then, and no other node has learned of it.
   */
  create(session: NewSession): Promise<Position[] | false>;

  /**
   * Returns whose session it is, or `undefined` if there is no such session. Costs the same for every session, however
   * large its record is; `load` reads all of the record. Changes nothing.
   */
  identify(sessionId: string): Promise<SessionIdentity | undefined>;

  /**
   * Returns the client's message that stands at `logId`, for this node to handle. `undefined`: the message is no longer kept,
   * or is not this node's. `wasAddressed`: another node has just named this entry to this node. Only a backplane with a
   * codec in front has this function. Without it a node takes any entry of the log that it is told of.
   */
  received?(sessionId: string, logId: LogId, wasAddressed: boolean): Promise<string | undefined>;
}

export type SessionIdentity = Pick<SessionRecord, 'principal' | 'owner' | 'seal'>;

export interface NewSession {
  id: string;
  /** The params of the client's `initialize`, as JSON. */
  initialize: string;
  /** As in {@link SessionRecord}. */
  protocolVersion: string;
  principal: string;
  /** As in {@link SessionRecord}. */
  seal?: string;
  /** The lists whose changes the server has announced to the client: `notify` broadcasts about them concern the session. */
  hears: readonly ListKind[];
  /** True if this node owns the session from the start. Default: no node owns it. */
  owned?: boolean;
  /**
   * How many sessions the principal may have at most, and how many of them may be pending. A session is pending if it has sent
   * neither `initialized` nor a request since it was created, at most `pendingTtlMs` ago; `pendingWeight` tells as how many it
   * counts. Left out: there is no limit, and this session is not counted.
   */
  most?: { sessions: number; pending: number } | undefined;
  /** The client's `initialize` request, on the stream `stream`. Left out: it is to come, and only the note is logged. */
  inbound?: string;
  /** The stream of the `initialize` request. */
  stream: string;
  /** What the server sent until and with its answer. The last one is the answer and ends its stream. */
  outbound: { stream: string; message: string; asks: boolean }[];
}

/** The principal has as many sessions as it may (`sessions`), or as many pending ones (`pending`). */
export class TooManySessions extends Error {
  override readonly name = 'TooManySessions';
  constructor(readonly kind: 'sessions' | 'pending') {
    super(`Too many sessions of one principal (${kind})`);
  }
}
