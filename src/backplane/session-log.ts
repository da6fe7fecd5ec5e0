/** The entries of a session's log. */
import type { LogId, Position } from './positions.js';

/** One message on one stream, as it is shown to the client. */
export interface StreamEvent {
  position: Position;
  /** `undefined`: the event only marks the end. In an `event` between nodes: the receiver has to read the message from the log. */
  message: string | undefined;
  /** True if the stream ends with this event. */
  end: boolean;
  /**
   * The place in the log of the stream's message before this one. Left out for the first message. If the last message that a
   * connection has shown is at another place, the connection has missed a message: a failover lost the message that it has
   * shown, and another message got the same number.
   */
  before?: LogId;
  /** The node that waits for the client's answer. Set if the message is a request of the server. */
  asker?: string;
}

export interface LogEntry {
  logId: LogId;
  /** When it was logged, in milliseconds since the epoch by the clock of the backplane: the first part of `logId`. */
  at: number;
  /** `in`: from the client. `out`: to the client. */
  direction: 'in' | 'out';
  /** `undefined`: the entry belongs to no stream, such as a message of the client that opened none. */
  stream: string | undefined;
  /** `undefined`: the stream ends without a message, or this entry is a note. */
  message: string | undefined;
  /** As in {@link StreamEvent}. */
  asker: string | undefined;
  /**
   * The node that stored the message. Left out if the name of the stream begins with that node's id. Older releases do not
   * store it.
   */
  by?: string;
  /**
   * The node whose connection held the stream when a message to the client was stored. `null`: no connection held it, so the
   * message waits in the log. Left out if it is the node that stored the message.
   */
  holder?: string | null;
  /** True if the entry has a message that could not be decoded. Set only with a codec. */
  unreadable?: true;
  /** The trace of a request of the client, if the request was stored with one. */
  trace?: string;
  /** Set if the entry is a note instead of a message. `direction` has no meaning then. */
  note?: Note;
}

/** A note in the log: something that happened to the session and is not a message. */
export interface Note {
  kind:
    | 'session.created'
    | 'session.initialized'
    | 'stream.resumed'
    | 'request.recovered'
    | 'request.failed';
  /** The node on which it happened. */
  nodeId: string;
  /** `request.…`: the JSON text of the request's id. */
  request?: string;
  /** `request.…`: the node that had run it. */
  from?: string;
  /** `stream.resumed`: how many resumed streams were not logged since the last such note. Left out: none. */
  skipped?: number;
}

/**
 * The least time between two `stream.resumed` notes of a session, in milliseconds. Without this limit, the notes of a client
 * that reconnects all the time would push the messages that it comes back for out of the log.
 */
export const RESUMED_EVERY_MS = 10_000;
