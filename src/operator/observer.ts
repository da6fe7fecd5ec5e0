/** The types of what an observer sees. Times named `…At` are milliseconds since the epoch. Other times are milliseconds. */
import type { Directory } from '../handle/session-directory.js';
import type { RequestId } from '../protocol/jsonrpc.js';
import type { SessionEvent, SessionInfo } from '../options/types.js';

/** Reads a cluster from outside. Every call may reject with `backplane_unavailable`, within `commandTimeoutMs`. */
export interface Observer {
  /** Resolves when Redis was reached. Other calls need not wait for it. */
  ready(): Promise<void>;
  /** Lists the nodes that hold a lease, by id. It looks at all keys of Redis, a thousand at a time. */
  nodes(): Promise<NodeInfo[]>;
  /** The same as `mcp.sessions` on a node. `delete` is the only function of an observer that writes. */
  sessions: Directory;
  /** Shows one session as it is now: its streams, running requests and log. It returns `undefined` if there is none. */
  details(id: string): Promise<SessionDetails | undefined>;
  /**
   * Shows the cluster at a glance, for a display that is renewed. Each call goes on from the one before: rates and
   * `traffic` are since then. So give each display its own observer, and wait for one call before you make the
   * next. However many sessions there are, a call is at most about 700 short commands and reads at most about half
   * a megabyte of messages.
   */
  stats(): Promise<Stats>;
  /** Ends the connection. Calls that still wait reject. */
  close(): void;
}

export interface NodeInfo {
  id: string;
  /** How long until the lease runs out, unless it is renewed. */
  leaseLeftMs: number;
  /**
   * When the node joined, by its own clock. This field and the next ones are `undefined` for a node whose release does not
   * store them.
   */
  startedAt: number | undefined;
  host: string | undefined;
  pid: number | undefined;
  version: string | undefined;
}

/** A stream of a session that can still grow. */
export interface StreamInfo {
  name: string;
  /** `standalone` for the client's GET, `request` for a POST with requests. */
  kind: 'standalone' | 'request';
  /** How many messages the stream has had. */
  messages: number;
  /** The node and the connection that follow the stream. `undefined`: no connection does. */
  holder: { node: string; connection: string } | undefined;
  /** The node that runs the stream's requests. `undefined` for the standalone stream, or if that node has given them up. */
  executor: string | undefined;
  /** True if the executor has begun. False if it still has to begin. */
  begun: boolean;
}

/** A running request of the client. */
export interface RequestInfo {
  id: RequestId;
  stream: string;
  executor: string | undefined;
  begun: boolean;
}

export interface SessionDetails {
  info: SessionInfo;
  /** How long until the session expires, unless it is used. */
  leftMs: number;
  streams: StreamInfo[];
  requests: RequestInfo[];
  /** Nodes that have a server object of the session, or had one when they died. */
  replicas: string[];
  /** The log that is kept. `bytes` counts the messages, and 100 for each event. */
  log: { events: number; bytes: number; oldest: string | undefined; newest: string | undefined };
}

/** The figures of one session in {@link Observer.stats}. */
export interface SessionStats {
  info: SessionInfo;
  /** How many streams are open. The standalone stream counts once it was used. */
  streams: number;
  /** How many streams have a connection that follows them. */
  followed: number;
  requests: number;
  replicas: string[];
  /**
   * The bytes that were logged since the last call: those of messages, and 100 for each event. `undefined`: the last call
   * did not look at this session.
   */
  bytes: number | undefined;
}

export interface Stats {
  at: number;
  /** The nodes, a hundred at most. */
  nodes: NodeInfo[];
  /** True once all keys were looked at for nodes. Before that, some nodes may be missing. */
  nodesComplete: boolean;
  /** How many ids the list of sessions has. A few are of expired sessions. */
  listed: number;
  /** The sessions that are looked at, the last used ones first: all of them, or a hundred of those found so far. */
  sessions: SessionStats[];
  /** True if there are more sessions than are looked at. */
  sampled: boolean;
  /** The sums over the sessions that are looked at. */
  totals: { streams: number; followed: number; requests: number };
  /** The traffic since the last call, of the sessions that are looked at. `undefined` in the first call. */
  traffic: Traffic | undefined;
}

export interface Traffic {
  /** How long ago the last call was. */
  ms: number;
  bytes: number;
  /** The last events, the oldest first. If many were logged at a time, some are missing. */
  events: { session: string; event: SessionEvent }[];
  /** How many events were read. With `partial` there were more. */
  count: number;
  partial: boolean;
}
