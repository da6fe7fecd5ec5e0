/** What the log of a session consists of. */
import type { LogId, Position } from './positions.js';

/** One message on one stream, as shown to the client. */
export interface StreamEvent {
  position: Position;
  /** `undefined`: only marks the end, or is too big to be sent along: read the log. */
  message: string | undefined;
  /** The stream ends with it. */
  end: boolean;
  /** The node that waits for the client's answer to this request. */
  asker?: string;
}

export interface LogEntry {
  logId: LogId;
  at: number;
  direction: 'in' | 'out';
  stream: string | undefined;
  message: string | undefined;
  /** The node that asked the client with it. */
  asker: string | undefined;
  /** There is a message, and it could not be decoded. */
  unreadable?: true;
  /** This is no message, but something that has happened to the session; `direction` says nothing then. */
  note?: Note;
}

/** What has happened to a session, beside what was said in it. */
export interface Note {
  kind:
    | 'session.created'
    | 'session.initialized'
    | 'stream.resumed'
    | 'request.recovered'
    | 'request.failed';
  /** The node that it happened on. */
  nodeId: string;
  /** `request.…`: the JSON text of the request's id. */
  request?: string;
  /** `request.…`: the node that had run it. */
  from?: string;
  /** `stream.resumed`: how many more there were since the last one that was logged; left out: none. */
  skipped?: number;
}

/**
 * Clients that come back all the time must not push out of the log what they come back for: of a session's
 * `stream.resumed`, one is logged in so long.
 */
export const RESUMED_EVERY_MS = 10_000;
