/** What the log of a session consists of. */
import type { LogId, Position } from './positions.js';

/** One message on one stream, as it is shown to the client. */
export interface StreamEvent {
  position: Position;
  /** `undefined`: the event only marks the end; or, in an `event` between nodes, the message has to be read from the log. */
  message: string | undefined;
  /** True if the stream ends with it. */
  end: boolean;
  /**
   * Where the stream's message before this one is in the log; left out for the first message. A connection that has shown
   * another message last has missed one: a failover lost the message with that number, and another one got the number.
   */
  before?: LogId;
  /** The message is a request of the server, and this node waits for the client's answer. */
  asker?: string;
}

export interface LogEntry {
  logId: LogId;
  /** When it was logged, in milliseconds since the epoch by the clock of the backplane: the first part of `logId`. */
  at: number;
  /** `in`: from the client. `out`: to the client. */
  direction: 'in' | 'out';
  /** `undefined`: a message of the client that opened no stream. */
  stream: string | undefined;
  /** `undefined`: the stream ends without a message, or this entry is a note. */
  message: string | undefined;
  /** As in {@link StreamEvent}. */
  asker: string | undefined;
  /**
   * The node that stored the message. Left out if the name of the stream begins with that node, and by older releases
   * that do not store it.
   */
  by?: string;
  /**
   * The node that held the stream's connection when a message to the client was stored. `null`: none did, so the message
   * waits in the log. Left out if it is the node that stored the message.
   */
  holder?: string | null;
  /** True if there is a message that could not be decoded. Only a codec says so. */
  unreadable?: true;
  /** With a request of the client: its trace, if it was stored with one. */
  trace?: string;
  /** The entry is no message, but something that has happened to the session. `direction` says nothing then. */
  note?: Note;
}

/** Something that has happened to a session, beside what was said in it. */
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
  /** `stream.resumed`: how many were not logged since the last one that was. Left out: none. */
  skipped?: number;
}

/**
 * One `stream.resumed` of a session is logged in this time, in milliseconds. A client that comes back all the time would
 * otherwise push out of the log what it comes back for.
 */
export const RESUMED_EVERY_MS = 10_000;
