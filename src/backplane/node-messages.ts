/** The messages that nodes send to each other. */
import type { StreamEvent } from './session-log.js';
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

export interface StreamName {
  sessionId: string;
  stream: string;
}

/** The most streams that one `check` names. */
export const MOST_CHECKED = 100;

/**
 * A message to one node. It arrives at most once, and messages of several senders arrive in any order. Any message may be lost.
 * So a message either only makes its receiver act sooner, or its sender waits for the answer with a time limit.
 */
export type NodeMessage =
  /** A message of a stream that a connection of the receiver holds. If not `inline`, the receiver reads it from the log. */
  | {
      type: 'event';
      sessionId: string;
      stream: string;
      token: string;
      event: StreamEvent;
      inline: boolean;
    }
  /** A message of the client for the receiver's replica. `context` is JSON: the authorization and headers that came with it. */
  | { type: 'deliver'; sessionId: string; message: string; context?: string }
  /** The same as `deliver`, for a message that is too large to send. The receiver reads it from the log. */
  | { type: 'logged'; sessionId: string; logId: LogId; context?: string }
  /**
   * Requests of a session that the receiver owns. The receiver assigns the stream to itself, runs the requests, and answers
   * with `placed`. `context` is JSON: the authorization and headers that came with the requests. It is stored nowhere.
   * `messages` is left out if the requests are large, or the sender did not have them. The receiver then reads the log.
   */
  | {
      type: 'run';
      sessionId: string;
      stream: string;
      replyTo: string;
      context: string;
      messages: string[] | undefined;
      /** True if `context` or `messages` could not be decoded. Both are empty then. */
      unreadable?: true;
    }
  /**
   * The answer to `run`. `executor` is the node that executes the stream, or that is to begin it. `undefined`: the stream has
   * ended. `RELEASED` followed by the sender's id: the sender has given the session up, and has not begun the stream.
   */
  | {
      type: 'placed';
      sessionId: string;
      stream: string;
      executor: string | undefined;
      begun: boolean;
    }
  /** Another node took the receiver for dead, and owns the session now. */
  | { type: 'disowned'; sessionId: string }
  /** The session's shape has changed. Only the node that is to handle the message that changed it gets that `message`. */
  | { type: 'shape'; sessionId: string; revision: Revision; message: string | undefined }
  /** The session has ended. */
  | { type: 'gone'; sessionId: string }
  /** Another connection has taken the stream. The receiver ends its own connection, and answers `released` to `replyTo`. */
  | {
      type: 'release';
      sessionId: string;
      stream: string;
      token: string;
      replyTo: string;
      ref: string;
    }
  /** The answer to `release`. The connection had written up to `position`. `undefined`: there was no such connection. */
  | { type: 'released'; ref: string; position: Position | undefined }
  /**
   * A connection of another node has claimed the stream that this connection of the receiver held. Next, that node sends
   * `release` or undoes the claim. If that node dies first, it does neither. So the receiver checks after a while which
   * connection holds the stream.
   */
  | { type: 'taken'; sessionId: string; stream: string; token: string }
  /**
   * Another node refused a client this stream, because this connection of the receiver holds it. If the receiver has no such
   * connection, it gives the stream up. It may have done so before, and a failover may have lost that step.
   */
  | { type: 'held'; sessionId: string; stream: string; token: string }
  /** The receiver ends this connection so that its client comes back. */
  | { type: 'hangup'; sessionId: string; stream: string; token: string }
  /**
   * Followers of the sender wait for the ends of these streams, which the receiver executes. The receiver ends the streams that
   * it does not run any more. There are 1 to {@link MOST_CHECKED} streams.
   */
  | { type: 'check'; streams: StreamName[] }
  /** A stream that this connection of the receiver holds has lost its executor. So the receiver claims its requests. */
  | { type: 'orphaned'; sessionId: string; stream: string; token: string }
  /** A connection of the node `by` now holds the client's standalone stream. `undefined`: no connection holds it. */
  | { type: 'followed'; sessionId: string; by: string | undefined };

export type NodeMessageOf<Type extends NodeMessage['type']> = Extract<NodeMessage, { type: Type }>;
