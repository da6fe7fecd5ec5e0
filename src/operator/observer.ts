/** What an observer sees. Times are milliseconds since the epoch where they are called `…At`, else milliseconds. */
import type { Directory } from '../handle/session-directory.js';
import type { RequestId } from '../protocol/jsonrpc.js';
import type { SessionEvent, SessionInfo } from '../options/types.js';

/** A look at a cluster from outside. Every call may reject with `backplane_unavailable`, within `commandTimeoutMs`. */
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
  /** Until its lease runs out, unless it is renewed. */
  leaseLeftMs: number;
  /** When it joined, by its own clock. This and the following: `undefined` for a node of a release that does not say. */
  startedAt: number | undefined;
  host: string | undefined;
  pid: number | undefined;
  version: string | undefined;
}

/** A stream of a session that can still grow. */
export interface StreamInfo {
  name: string;
  /** `standalone`: of the client's GET. `request`: of a POST with requests. */
  kind: 'standalone' | 'request';
  /** How many messages it has had. */
  messages: number;
  /** The node and the connection there that follows it; `undefined`: nobody does. */
  holder: { node: string; connection: string } | undefined;
  /** The node that runs its requests; `undefined` for the standalone stream, or where that node has given them up. */
  executor: string | undefined;
  /** The executor has begun. `false`: it is to begin. */
  begun: boolean;
}

/** A request of the client that runs. */
export interface RequestInfo {
  id: RequestId;
  stream: string;
  executor: string | undefined;
  begun: boolean;
}

export interface SessionDetails {
  info: SessionInfo;
  /** Until it expires, unless it is used. */
  leftMs: number;
  streams: StreamInfo[];
  requests: RequestInfo[];
  /** Nodes that have, or when they died had, a server object for it. */
  replicas: string[];
  /** What is kept of the log. `bytes`: of the messages, and 100 for each event. */
  log: { events: number; bytes: number; oldest: string | undefined; newest: string | undefined };
}

/** What {@link Observer.stats} knows of one session. */
export interface SessionStats {
  info: SessionInfo;
  /** Open streams, the standalone one included once it was used. */
  streams: number;
  /** Streams that somebody follows. */
  followed: number;
  requests: number;
  replicas: string[];
  /** Logged since the call before, of messages and 100 for each event. `undefined`: it was not looked at then. */
  bytes: number | undefined;
}

export interface Stats {
  at: number;
  /** At most a hundred. */
  nodes: NodeInfo[];
  /** All keys were looked at for nodes at least once; until then some may be missing. */
  nodesComplete: boolean;
  /** Ids in the list of sessions; a few are of sessions that have expired. */
  listed: number;
  /** The sessions that are looked at, most recently used first. All of them, or a hundred of those found so far. */
  sessions: SessionStats[];
  /** There are more sessions than are looked at. */
  sampled: boolean;
  /** Of the sessions that are looked at. */
  totals: { streams: number; followed: number; requests: number };
  /** Since the call before, of the sessions that are looked at; `undefined` in the first one. */
  traffic: Traffic | undefined;
}

export interface Traffic {
  /** How long ago the call before was. */
  ms: number;
  bytes: number;
  /** The last events, oldest first. Where much was logged at a time, not all. */
  events: { session: string; event: SessionEvent }[];
  /** How many events were read; less than there were if `partial`. */
  count: number;
  partial: boolean;
}
