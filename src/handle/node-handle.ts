/** What `anynode()` returns. */
import type { RequestListener } from 'node:http';
import type { RequestHandler } from 'express';
import type { ListeningServer } from '../http/response/closing-server.js';
import type { SdkStores } from '../sdk-stores/store-types.js';
import type { Notify } from './notify.js';
import type { Directory } from './session-directory.js';
import type { SessionHandle } from './session-handle.js';

/** The state of one node. */
export interface Health {
  /**
   * `ready`: the node serves. `draining`: `close()` was called. `down`: the backplane cannot be reached, or the
   * server at `upstream` does not answer; `reason` says why.
   */
  status: 'ready' | 'draining' | 'down';
  /** The id of this node. */
  nodeId: string;
  /** Why the node is `down`. */
  reason?: string;
  /** How many sessions have a server object on this node. */
  sessions: number;
  /** How many connections this node streams to. */
  streams: number;
  /** How many requests run on this node. */
  inFlight: number;
}

/** Options of `close()`. */
export interface CloseOptions {
  /** How long running calls may take to end. Default 10,000 ms. */
  drainMs?: number | undefined;
  /** The HTTP server that serves the node. It is closed, too, in the order that loses no request. */
  server?: ListeningServer | undefined;
}

/** What `anynode()` returns: Express middleware, and the handle of this node. */
export interface Anynode extends RequestHandler, SdkStores {
  /** The id of this node, random for each start. It is also in the header `X-Anynode-Node`. */
  readonly nodeId: string;
  /**
   * Resolves when the backplane was reached and this node holds its lease. With `upstream: true` it also waits
   * until the server at `upstream` answers (see `upstreamCheck`). It goes on trying, and rejects only after
   * `close()`.
   */
  ready(options?: { upstream?: boolean }): Promise<void>;
  /**
   * The same endpoint for a server of Node's own: `createServer(mcp.listener)`. It answers each request that it is
   * given, whatever its path. Express has not seen these requests: no middleware has run, there is no `req.auth`
   * unless you put it there, no `trust proxy`, and `principal` gets an `IncomingMessage`. `serverOptionsFor(app)`
   * makes most of the difference in speed without leaving Express; see `docs/how-to/speed-up.md`.
   */
  readonly listener: RequestListener;
  /** Says how this node is, from what it knows: it asks no other process. */
  health(): Health;
  /** All sessions of the cluster, for operators. */
  sessions: Directory;
  /** One session, whichever node it is on: notifications, requests to its client, and its state. */
  session(id: string): SessionHandle;
  /** Tells all sessions of the cluster that a list or a resource has changed. */
  notify: Notify;
  /**
   * Ends the connections whose clients can come back, lets running calls finish for up to `drainMs` (default 10,000
   * ms), discards all server objects and gives the lease up. Until then the node answers as before, and afterwards
   * with 503. Calling it again returns the same promise. It never rejects.
   *
   * With `server`, the HTTP server stops listening first, so that a balancer takes new requests to other nodes, and
   * its last connections are ended at the end. Without it, closing the HTTP server is up to you.
   */
  close(options?: CloseOptions): Promise<void>;
}
