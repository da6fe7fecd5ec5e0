/**
 * What the page and its server say to each other. Each call is `POST api/<name>` with a JSON body, so that no session id is ever
 * part of a URL. Calls that go on for ever answer with an event stream, whose `data` is a JSON text each.
 */
import type { RedisInfo } from '../backplane/observation.js';
import type { NodeStats, SessionDetails, SessionPage } from '../operator/observer.js';
import type { SessionSnapshot } from '../operator/session-snapshot.js';
import type { SessionInfo } from '../options/public-types.js';
import type { EventSummary } from '../timeline/event-summary.js';

/** The answer to `hello`: what the page may do. */
export interface Hello {
  version: string;
  allowKill: boolean;
  payloads: boolean;
  prefix: string;
  /** The address of a trace, with `{traceId}` where its id belongs. Left out: traces have no address. */
  traceUrl?: string;
}

/** A node, as the cluster view shows it. */
export interface PageNode extends NodeStats {
  /** `late`: it has not renewed its lease for most of the lease. `died`, `closed`: it is gone. */
  state: 'alive' | 'late' | 'died' | 'closed';
  /** When it was gone, by the clock of the server of the page. */
  goneAt?: number;
  /** The longest lease that it was seen with. */
  leaseMs: number;
  /** Events and failed requests per second, estimated from the events that were read. The latest is the last. */
  rate: number[];
  errors: number[];
}

/** An event of the answer to `cluster`, about once in a second. */
export interface ClusterView {
  /** When the figures were read. 0: none could be read yet. */
  at: number;
  nodes: PageNode[];
  nodesComplete: boolean;
  listed: number;
  sampled: boolean;
  looked: number;
  totals: { streams: number; followed: number; requests: number };
  perSecond: { events: number; bytes: number; partial: boolean } | undefined;
  redis: RedisInfo[];
  latest: { session: string; event: EventSummary }[];
  /** Why the figures cannot be read at the moment. They are those of `at` then. */
  trouble?: string;
}

/** The answer to `sessions`. */
export type SessionList = SessionPage;

/** The answer to `session`. */
export type SessionView = SessionDetails;

/** An event of the answer to `tail`. */
export interface TailEvents {
  events: EventSummary[];
  /** True once all events that are there have been sent. */
  live: boolean;
  /** Why no further events can be read at the moment. The next value without it says that they can be read again. */
  trouble?: string;
}

export type StateView = SessionSnapshot;
export type ExportFormat = 'jsonl' | 'mermaid' | 'html';

/** What a self-contained file has instead of a server. */
export interface OfflineData {
  sessions: { info: SessionInfo | undefined; id: string; events: EventSummary[] }[];
}
