/** What nodes tell each other. */
import type { StreamEvent } from './session-log.js';
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

export interface StreamName {
  sessionId: string;
  stream: string;
}

/** How many streams one `check` names at most. */
export const MOST_CHECKED = 100;

/**
 * A message to one node. It arrives at most once, and messages of several senders come in any order. A message only makes its
 * receiver act sooner, or is answered by a time limit: each node bears that it never comes.
 */
export type NodeMessage =
  /** A message of a stream that a connection of the receiver holds. Not `inline`: it has to be read from the log. */
  | {
      type: 'event';
      sessionId: string;
      stream: string;
      token: string;
      event: StreamEvent;
      inline: boolean;
    }
  /** A message of the client for the receiver's replica. `context`: what came with it, as JSON. */
  | { type: 'deliver'; sessionId: string; message: string; context?: string }
  /** The same, for a message that is too large to be sent along: it stands in the log. */
  | { type: 'logged'; sessionId: string; logId: LogId; context?: string }
  /**
   * Requests of a session that the receiver owns: the receiver assigns the stream to itself, runs the requests, and
   * answers with `placed`. `context`: what came with the requests, as JSON; it is stored nowhere. `messages` is left out
   * if they are large, or were not at hand: they stand in the log.
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
   * Answers `run`: the node that executes the stream, or is to. `undefined`: the stream has ended. `RELEASED` with the sender's
   * id behind it: the sender has given the session up, and has not begun the stream.
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
  /** The session's shape has changed. `message`: the message that did it, for the one replica that is to handle it. */
  | { type: 'shape'; sessionId: string; revision: Revision; message: string | undefined }
  /** The session has ended. */
  | { type: 'gone'; sessionId: string }
  /** Another connection took the stream over: the receiver ends this one, and answers `released` to `replyTo`. */
  | {
      type: 'release';
      sessionId: string;
      stream: string;
      token: string;
      replyTo: string;
      ref: string;
    }
  /** Answers `release`: up to where the connection had written. `undefined`: there was no such connection. */
  | { type: 'released'; ref: string; position: Position | undefined }
  /**
   * A connection of another node has claimed the stream that this connection of the receiver holds. `release` follows, or the
   * claim is undone. If that node dies first, neither happens, so the receiver looks after a while whose stream it is.
   */
  | { type: 'taken'; sessionId: string; stream: string; token: string }
  /**
   * A client that asked for this stream was refused, since this connection of the receiver holds it. If the receiver has no such
   * connection, it gives the stream up: a failover may have lost that it had done so before.
   */
  | { type: 'held'; sessionId: string; stream: string; token: string }
  /** The receiver ends this connection so that its client comes back. */
  | { type: 'hangup'; sessionId: string; stream: string; token: string }
  /**
   * Followers of the sender wait for the ends of these streams, which the receiver executes. The receiver ends those that it
   * does not run any more. There are one to {@link MOST_CHECKED} of them.
   */
  | { type: 'check'; streams: StreamName[] }
  /** The executor of a stream that this connection of the receiver holds has given it up: the receiver claims its requests. */
  | { type: 'orphaned'; sessionId: string; stream: string; token: string }
  /** A connection of the node `by` holds the client's standalone stream now. `undefined`: no connection does. */
  | { type: 'followed'; sessionId: string; by: string | undefined };

export type NodeMessageOf<Type extends NodeMessage['type']> = Extract<NodeMessage, { type: Type }>;
