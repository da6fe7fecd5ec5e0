import type { StreamEvent } from './session-log.js';
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

export interface StreamName {
  sessionId: string;
  stream: string;
}

/** How many streams one `check` names at most. */
export const MOST_CHECKED = 100;

/** What nodes tell each other. At most once, unordered between senders; whoever gets one must bear to miss it. */
export type NodeMessage =
  /** An event of a stream that a connection of the addressee holds. */
  | {
      type: 'event';
      sessionId: string;
      stream: string;
      token: string;
      event: StreamEvent;
      inline: boolean;
    }
  /** A message of the client for the addressee's replica. */
  | { type: 'deliver'; sessionId: string; message: string; context?: string }
  /** The same, of one that is too big to be sent along: it stands in the log. */
  | { type: 'logged'; sessionId: string; logId: LogId; context?: string }
  /**
   * Requests of a session that the addressee owns: to be assigned to itself, and run. `context`: what came with them, as
   * JSON; it is stored nowhere. `messages`: left out where they are big, or were not at hand: they are in the log.
   * Is answered with `placed`.
   */
  | {
      type: 'run';
      sessionId: string;
      stream: string;
      replyTo: string;
      context: string;
      messages: string[] | undefined;
      /** `context` or `messages` could not be decoded, and are empty. */
      unreadable?: true;
    }
  /**
   * Who executes a stream, or is to; `undefined`: it has ended. {@link RELEASED} with the sender's id behind it: the sender
   * has given the session up, and has not begun the stream.
   */
  | {
      type: 'placed';
      sessionId: string;
      stream: string;
      executor: string | undefined;
      begun: boolean;
    }
  /** The addressee was taken for dead, and does not own the session any more. */
  | { type: 'disowned'; sessionId: string }
  /** The session's shape has changed. `message`: what did it, for the replica that is to handle it. */
  | { type: 'shape'; sessionId: string; revision: Revision; message: string | undefined }
  /** The session has ended. */
  | { type: 'gone'; sessionId: string }
  /** Another connection took the stream over: end yours, and answer `released` where `replyTo` says. */
  | {
      type: 'release';
      sessionId: string;
      stream: string;
      token: string;
      replyTo: string;
      ref: string;
    }
  | { type: 'released'; ref: string; position: Position | undefined }
  /**
   * A connection of another node has claimed the stream of this one. `release` follows, or the claim is undone; neither
   * does where that node has died. See to it that this connection is not left open for nothing.
   */
  | { type: 'taken'; sessionId: string; stream: string; token: string }
  /**
   * A client that asked for this stream was refused, since this connection of the addressee holds it. Give the stream up if
   * there is no such connection: a failover may have lost that it was given up.
   */
  | { type: 'held'; sessionId: string; stream: string; token: string }
  /** End this connection so that the client comes back. */
  | { type: 'hangup'; sessionId: string; stream: string; token: string }
  /**
   * Followers of the sender wait for the ends of these streams, which the addressee executes: see to it that they come.
   * One to {@link MOST_CHECKED} streams.
   */
  | { type: 'check'; streams: StreamName[] }
  /** The executor of a stream has released it: claim its requests. */
  | { type: 'orphaned'; sessionId: string; stream: string; token: string }
  /** The client's standalone stream is held by `by` now (`undefined`: by nobody). */
  | { type: 'followed'; sessionId: string; by: string | undefined };

export type NodeMessageOf<Type extends NodeMessage['type']> = Extract<NodeMessage, { type: Type }>;
