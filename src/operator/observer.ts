/** The types of what an observer sees. Times named `…At` are milliseconds since the epoch. Other times are milliseconds. */
import type { Directory } from './session-directory.js';
import type { RedisInfo } from '../backplane/observation.js';
import type { RequestId } from '../protocol/json/jsonrpc.js';
import type { SessionEvent, SessionInfo } from '../options/public-types.js';

/** Reads a cluster from outside. Every call may reject with `backplane_unavailable`, within `commandTimeoutMs`. */
export interface Observer {
  /** Resolves when Redis was reached. Other calls need not wait for it. */
  ready(): Promise<void>;
  /** Lists the nodes that hold a lease, by id. It looks at all keys of Redis, a thousand at a time. */
  nodes(): Promise<NodeInfo[]>;
  /** The same as `mcp.sessions` on a node. `delete` is the only function of an observer that writes. */
  sessions: Directory;
  /**
   * Finds sessions: filtered, sorted, and a page at a time. By id it ends as soon as the page is full. In any other order,
   * and if few sessions match, it reads the record of each session: for 50,000 that takes a few seconds, in steps of 200
   * short commands. So ask when a person asks, and use `stats` for a display that is renewed. Throws a `TypeError` for a
   * query that makes no sense, and rejects with the reason of `signal`.
   */
  findSessions(query?: SessionQuery): Promise<SessionPage>;
  /** Shows one session as it is now: its streams, running requests and log. It returns `undefined` if there is none. */
  details(id: string): Promise<SessionDetails | undefined>;
  /**
   * Shows the cluster at a glance, for a display that is renewed. Rates and `traffic` count from the call before. So give each
   * display its own observer, and wait for each call to end before you make the next. However many sessions there are, a call
   * sends at most about 700 short commands, and reads at most about half a megabyte of messages.
   */
  stats(): Promise<Stats>;
  /** Asks each server of Redis how long a command takes, how much memory it uses, and whether its settings fit. */
  redis(): Promise<RedisInfo[]>;
  /** Ends the connection. Calls that still wait reject. */
  close(): void;
}

/** Selects sessions. All conditions have to hold. */
export interface SessionQuery {
  /** The beginning of the session's id. The index finds these sessions without looking at others. */
  idPrefix?: string | undefined;
  /** A part of the client's name and version, as in `claude-ai 0.1.0`, in upper or lower case. */
  client?: string | undefined;
  /** A part of the principal, in upper or lower case. The principal of anonymous callers is `anonymous` here. */
  principal?: string | undefined;
  /** The beginning of the id of a node that owns the session, has a server object or a connection of it, or runs a request of it. */
  node?: string | undefined;
  /** The beginning of the negotiated protocol version. */
  protocol?: string | undefined;
  /** Only sessions that have not been used for at least this time. */
  idleMs?: number | undefined;
  /** True: only sessions in which a request has ended with an error. False: only the other sessions. */
  hasErrors?: boolean | undefined;
  /**
   * The order: texts ascending, the latest times first, the most errors first. Default `id`.
   */
  sort?: 'id' | 'client' | 'principal' | 'protocol' | 'created' | 'used' | 'errors' | undefined;
  /** True for the opposite order. */
  reverse?: boolean | undefined;
  /** How many sessions a page has, from 1 to 1,000. Default 100. */
  limit?: number | undefined;
  /** The `next` of the page before, which had the same conditions and the same order. */
  after?: string | undefined;
  /** Ends the search. The promise rejects with its reason. */
  signal?: AbortSignal | undefined;
}

/** A page of sessions that match a query. */
export interface SessionPage {
  sessions: SessionSummary[];
  /** The `after` of the next page. `undefined`: this is the last page. */
  next: string | undefined;
  /** How many sessions match in all. `undefined`: the search has not looked at all sessions, so it does not know. */
  matched: number | undefined;
  /** How many ids the list of sessions has. A few are of expired sessions. */
  listed: number;
}

/** A session and its figures. */
export interface SessionSummary {
  info: SessionInfo;
  /** How many streams are open. The standalone stream counts once it was used. */
  streams: number;
  /** How many streams have a connection that follows them. */
  followed: number;
  requests: number;
  /** Nodes that have a server object of the session, or had one when they died. */
  replicas: string[];
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
  /** The node that runs the request. `undefined`: that node has given it up. */
  executor: string | undefined;
  begun: boolean;
  /** The method. This field and the next ones are `undefined` if the log does not have the request any more. */
  method: string | undefined;
  /** The name of the tool or prompt, or the URI of the resource. */
  name: string | undefined;
  /** When the request came. */
  since: number | undefined;
  /** The node that received the request. */
  receivedBy: string | undefined;
}

export interface SessionDetails {
  info: SessionInfo;
  /** How long until the session expires, unless it is used. */
  leftMs: number;
  streams: StreamInfo[];
  requests: RequestInfo[];
  /** Nodes that have a server object of the session, or had one when they died. */
  replicas: string[];
  /** Those of the nodes above that hold no lease. They have died or were closed. */
  deadNodes: string[];
  /** The log that is kept. `bytes` counts the messages, and 100 for each event. */
  log: { events: number; bytes: number; oldest: string | undefined; newest: string | undefined };
}

/** The figures of one session in {@link Observer.stats}. */
export interface SessionStats extends SessionSummary {
  /**
   * The bytes that were logged since the last call: those of messages, and 100 for each event. `undefined`: the last call
   * did not look at this session.
   */
  bytes: number | undefined;
}

/** A node, and its part of the sessions that {@link Observer.stats} looks at. */
export interface NodeStats extends NodeInfo {
  /** How many of the sessions have a server object on the node. */
  sessions: number;
  /** How many streams are followed by connections of the node. */
  streams: number;
  /** How many requests the node runs, or is to run. */
  requests: number;
}

export interface Stats {
  at: number;
  /** The nodes, a hundred at most. */
  nodes: NodeStats[];
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
  /** The last events, oldest first. If many events were logged since the last call, some are missing. */
  events: { session: string; event: SessionEvent }[];
  /** How many events were read. With `partial` there were more. */
  count: number;
  partial: boolean;
}
