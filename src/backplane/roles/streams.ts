/** The role of a backplane that lets connections follow streams. */
import type { LogId, Position } from '../positions.js';
import type { StreamEvent } from '../session-log.js';

/** Each call may reject with `backplane_unavailable`. */
export interface Streams {
  /**
   * Makes a connection of this node the holder of a stream, in one atomic step. The step checks the principal and the cursor,
   * and stores the new holder. If a connection of another node held the stream, the step tells that node (`taken`). Only the
   * answer `attached` changes anything. A repeat finds its own connection as the holder, and answers as the first time. If a
   * newer connection has taken the stream since, that connection keeps it. An attached connection counts as use of the session.
   */
  attach(request: AttachRequest): Promise<AttachReply>;

  /** Reads one page of a stream, after the position `after`. Changes nothing. */
  read(request: ReadRequest): Promise<Page>;

  /**
   * Prolongs the lives of sessions, and stores how far connections have written, for many sessions in one call. Answers in the
   * order of the requests. The sessions need not be touched in one atomic step.
   */
  touch(requests: TouchRequest[]): Promise<TouchReply[]>;

  /**
   * Returns the numbers of the last messages of streams, for many sessions in one call. Answers in the order of the requests,
   * and changes nothing.
   *
   * Only a backplane that can lose a wake-up without losing a connection needs this function, such as a Redis Cluster. Every
   * 40 s, its nodes compare these numbers with what their followers have. Other backplanes leave the function out, because
   * `onLost` is enough for them.
   */
  readonly ends?: ((requests: EndsRequest[]) => Promise<EndsReply[]>) | undefined;

  /** Returns the open streams of POSTs, in any order. A session that does not exist has none. */
  openStreams(sessionId: string): Promise<OpenStream[]>;
}

/** A connection that holds a stream: its node, and its name among the connections of that node. */
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
   * The position of the last message that the client has, as the client says. `undefined`: the client did not say, which is
   * allowed for the standalone stream only. The connection then goes on after the messages that earlier connections have
   * written.
   */
  cursor: Position | undefined;
  /** True: refuse with `conflict` while another connection holds the stream. False: take the stream over from it. */
  unlessHeld: boolean;
  /** With `unlessHeld`: a holder whose node is known to be dead. The step ignores this holder. */
  deadHolder?: Holder;
  /** With `deadHolder`: when its node was found dead. After `LOOK_HOLDS_MS` the step does not ignore that holder any more. */
  lookedAt?: number;
  /**
   * Asked just before the step is sent, which may have waited for others. If it returns false, the step is not sent, and the
   * answer is `unwanted`. A client that has gone may have a newer connection on another node, which must keep the stream.
   */
  isWanted?: () => boolean;
}

export type AttachReply =
  /** There is no such session, or it belongs to another principal. */
  | { status: 'gone' }
  /** `isWanted` returned false. */
  | { status: 'unwanted' }
  /** With `unlessHeld`: the connection `holder` holds the stream. */
  | { status: 'conflict'; holder: Holder }
  /** The session never had the stream, or has ended it and no longer keeps it. */
  | { status: 'unknown' }
  /** Messages after the cursor are no longer kept. */
  | { status: 'trimmed' }
  /** The stream has ended, and the client has its last message. There is nothing more to show. */
  | { status: 'ended' }
  | {
      status: 'attached';
      /** The connection goes on after this position: the cursor, or the end of the stream if a failover has lost its later part. */
      position: Position;
      protocolVersion: string;
      /** The connection that held the stream before this one. */
      previous?: Holder;
      /** The node that runs the requests of the stream. Missing for the standalone stream, and for a stream that has ended. */
      executor?: string;
      /** True if the executor has not begun. */
      unbegun?: boolean;
      /** The trace of the requests of the stream, if they were stored with one. See `OpenOperation`. */
      trace?: string;
    };

export interface ReadRequest {
  sessionId: string;
  stream: string;
  after: Position;
  /** The name of the connection that reads. If the stream is open and another connection or none holds it, the page is `lost`. */
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
  /** The next message could not be decoded, and nothing may be shown in its place. Returned only with a codec. */
  | { status: 'unreadable' }
  | {
      status: 'ok';
      /** Messages of this stream only, in their order, without a gap. */
      events: StreamEvent[];
      /** The place in the log up to which this page was read. A page without events may have passed over other streams' entries. */
      scanned: LogId;
      /** True if the log may already have more messages of the stream. */
      more: boolean;
      /** True if the stream can still grow. */
      open: boolean;
      /** Set if a failover has lost the end of the log, so that the reader is ahead. The reader then counts on from this number. */
      restart?: number;
    };

export interface TouchRequest {
  sessionId: string;
  /** Connections of this node, and the position up to which each has written. */
  streams: { stream: string; token: string; position: Position }[];
  /** Streams whose requests this node runs. Default: none. */
  runs?: string[];
}

export type TouchReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      /** For each stream: the number of its last message, if the connection still holds it, and if it has ended. */
      streams: { last: number; held: boolean; ended: boolean }[];
      /** For each stream of `runs`: true if this node still is its executor. */
      runs: boolean[];
    };

export interface EndsRequest {
  sessionId: string;
  streams: string[];
}

/**
 * The number of each stream's last message (0: none yet), or `undefined` if there is no such open stream. The whole reply is
 * `undefined` if the backplane does not know the numbers at the moment.
 */
export type EndsReply = (number | undefined)[] | undefined;

/** A stream of a POST whose requests have not all been answered. */
export interface OpenStream {
  stream: string;
  /** The node whose connection holds the stream, or `undefined` if no connection does. */
  holder: string | undefined;
  /** The node that has begun the requests and has not given them up, or `undefined` if there is none. */
  runsOn: string | undefined;
}
