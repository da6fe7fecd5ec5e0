/** The role of a backplane that connections follow streams with. */
import type { LogId, Position } from '../positions.js';
import type { StreamEvent } from '../session-log.js';

/** Each call may reject with `backplane_unavailable`. */
export interface Streams {
  /**
   * Makes a connection of this node the holder of a stream, in one atomic step. The step checks the principal and the cursor,
   * and writes the claim. If the stream was held by a connection of another node, it tells that node (`taken`). Each answer but
   * `attached` changes nothing. A repeat finds its own claim and answers as the first time; if a newer connection has taken the
   * stream since, that one keeps it. An attached connection counts as use of the session by its client.
   */
  attach(request: AttachRequest): Promise<AttachReply>;

  /** Reads a stream on from `after`, one page at a time. Changes nothing. */
  read(request: ReadRequest): Promise<Page>;

  /**
   * Keeps sessions alive and reports how far connections have written, for many sessions in one go. Answers in the order of the
   * requests. The sessions need not be touched in one atomic step.
   */
  touch(requests: TouchRequest[]): Promise<TouchReply[]>;

  /**
   * Says where streams end, for many sessions in one go. Answers in the order of the requests and changes nothing.
   *
   * Only a backplane that can lose a wake-up without losing a connection has this function, such as a Redis Cluster. Its nodes
   * compare the ends with their followers every 40 s. With any other backplane `onLost` is enough; leave the function out.
   */
  readonly ends?: ((requests: EndsRequest[]) => Promise<EndsReply[]>) | undefined;

  /** Returns the streams of POSTs that are open, in any order. There are none of a session that does not exist. */
  openStreams(sessionId: string): Promise<OpenStream[]>;
}

/** A connection: its node, and its name among those of this node. */
export interface Holder {
  nodeId: string;
  token: string;
}

export interface AttachRequest {
  sessionId: string;
  principal: string;
  stream: string;
  /** Names the connection among those of this node. */
  token: string;
  /**
   * Where the client says that it is. `undefined`, for the standalone stream only: the connection goes on after what
   * earlier connections have written.
   */
  cursor: Position | undefined;
  /** True: refuse with `conflict` while another connection holds the stream. False: take the stream over from it. */
  unlessHeld: boolean;
  /** With `unlessHeld`: a holder whose node is known to be dead. It does not count as one. */
  deadHolder?: Holder;
  /** With `deadHolder`: when its node was found dead, as in `ClaimOperation`. After `LOOK_HOLDS_MS` the holder counts again. */
  lookedAt?: number;
}

export type AttachReply =
  /** There is no such session, or it is another principal's. */
  | { status: 'gone' }
  /** With `unlessHeld`: this connection holds the stream. */
  | { status: 'conflict'; holder: Holder }
  /** The session never had the stream, or has ended it and no longer keeps it. */
  | { status: 'unknown' }
  /** Messages after the cursor are no longer kept. */
  | { status: 'trimmed' }
  /** The stream has ended, and the cursor is behind its last message: there is nothing to show, nor will there be. */
  | { status: 'ended' }
  | {
      status: 'attached';
      /** Where the connection goes on from: the cursor, or the end of a log that has lost what the cursor knows of. */
      position: Position;
      protocolVersion: string;
      /** The connection that held the stream before this one. */
      previous?: Holder;
      /** The node that runs the requests of the stream. Missing for the standalone stream and for one that has ended. */
      executor?: string;
      /** True if the executor is to run them and has not begun. */
      unbegun?: boolean;
      /** The trace of the requests of the stream, if they were stored with one. See `OpenOperation`. */
      trace?: string;
    };

export interface ReadRequest {
  sessionId: string;
  stream: string;
  after: Position;
  /** Names the connection that reads. If the stream is open and this connection is not its holder, the page is `lost`. */
  token?: string;
  /** A page ends with the first message that makes it as long as this or longer. */
  maxBytes: number;
}

export type Page =
  /** There is no such session. */
  | { status: 'gone' }
  /** Another connection holds the stream, or no connection does. */
  | { status: 'lost' }
  /** Messages after the position are no longer kept. */
  | { status: 'trimmed' }
  /** The next message could not be decoded, and nothing may be shown in its place. Only a codec says so. */
  | { status: 'unreadable' }
  | {
      status: 'ok';
      /** Messages of this stream only, in their order, without a gap. */
      events: StreamEvent[];
      /** The place in the log to read on from. A page without events may have passed over entries of other streams. */
      scanned: LogId;
      /** True if there may be more already. */
      more: boolean;
      /** True if the stream can still grow. */
      open: boolean;
      /** The log is shorter than the reader's position, since it lost its end in a failover: count on from this number. */
      restart?: number;
    };

export interface TouchRequest {
  sessionId: string;
  /** Connections of this node, and the position that each has written. */
  streams: { stream: string; token: string; position: Position }[];
  /** Streams whose requests this node runs. Default: none. */
  runs?: string[];
}

export type TouchReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      /** For each stream: the number of its last message, whether the connection still holds it, whether it has ended. */
      streams: { last: number; held: boolean; ended: boolean }[];
      /** For each stream of `runs`: whether this node still is its executor. */
      runs: boolean[];
    };

export interface EndsRequest {
  sessionId: string;
  streams: string[];
}

/**
 * For each stream the number of its last message (0: none yet), or `undefined` if the backplane has no such open stream. The
 * whole reply is `undefined` if the backplane could not say it now.
 */
export type EndsReply = (number | undefined)[] | undefined;

/** A stream of a POST whose requests have not all been answered. */
export interface OpenStream {
  stream: string;
  /** The node whose connection holds it, or `undefined` if no connection does. */
  holder: string | undefined;
  /** The node that has begun its requests and has not left them, or `undefined` if there is none. */
  runsOn: string | undefined;
}
