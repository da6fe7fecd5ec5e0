/** The role of a backplane that creates sessions. */
import { recognizeInAllCopies } from '../../protocol/across-copies.js';
import type { ListKind } from '../operations.js';
import type { LogId, Position } from '../positions.js';
import type { SessionRecord, SessionRecords } from './session-records.js';

/** Each call may reject with `backplane_unavailable`. */
export interface SessionStore extends SessionRecords {
  /**
   * Stores a session in one atomic step: its record, and the first entries of its log. These entries are the note
   * `session.created`, then `inbound` if there is one, then `outbound`. The creating node counts as a node with a replica.
   * Returns the positions of the messages, not of the note, in their order. The position of `inbound` has number 0.
   *
   * Returns `false`, and changes nothing, if the id is taken. The id of a session that has ended or expired is free, and the new
   * session must not contain anything of the former one. Rejects with {@link TooManySessions} if the principal has `most`
   * sessions already. The session does not exist then, and no other node has learned of it.
   */
  create(session: NewSession): Promise<Position[] | false>;

  /**
   * Returns the principal and the owner of a session, or `undefined` if there is no such session. Unlike `load`, it does not
   * read the whole record, so it costs the same for every session. Changes nothing.
   */
  identify(sessionId: string): Promise<SessionIdentity | undefined>;

  /**
   * Returns the client's message at the place `logId` of the log, which this node is to handle. `undefined`: the message is no
   * longer kept, or is not for this node. `wasAddressed`: another node has just named this place to this node. Only a
   * backplane with a codec has this function. Without it, a node handles any entry of the log that it is told of.
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
  /** The lists of which the server has told the client that it announces changes. The session gets `notify` for these lists. */
  hears: readonly ListKind[];
  /** True if this node owns the session from the start. Default: no node owns it. */
  owned?: boolean;
  /**
   * The most sessions that the principal may have, and how many of them may be pending. A session is pending if it was created
   * at most `pendingTtlMs` ago and its client has sent neither `initialized` nor a request. A large one counts as several (see
   * `pendingWeight`). Left out: there is no limit, and this session is not counted.
   */
  most?: { sessions: number; pending: number } | undefined;
  /** The client's `initialize` request on the stream `stream`. Left out: the request comes later, and is not logged now. */
  inbound?: string;
  /** The stream of the `initialize` request. */
  stream: string;
  /** The messages that the server has sent so far. The last one is the answer to `initialize`, and ends its stream. */
  outbound: { stream: string; message: string; asks: boolean }[];
}

/** Thrown if the principal has as many sessions as it may have (`sessions`), or as many pending ones (`pending`). */
export class TooManySessions extends Error {
  static {
    recognizeInAllCopies(this, 'TooManySessions');
  }

  override readonly name = 'TooManySessions';
  constructor(readonly kind: 'sessions' | 'pending') {
    super(`Too many sessions of one principal (${kind})`);
  }
}
