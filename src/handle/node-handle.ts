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
   * `draining`: `close()` was called. `down`: the backplane cannot be reached, or the server at `upstream` does not answer;
   * `reason` says why.
   */
  status: 'ready' | 'draining' | 'down';
  nodeId: string;
  reason?: string;
  /** Sessions with a server object on this node. */
  sessions: number;
  /** Connections that this node streams to. */
  streams: number;
  /** Requests that run on this node. */
  inFlight: number;
}

export interface CloseOptions {
  /** How long running calls may take. Default 10,000 ms. */
  drainMs?: number | undefined;
  /** The HTTP server that serves the node: it is closed, too. */
  server?: ListeningServer | undefined;
}

/** Express middleware, and the node's handle. */
export interface Anynode extends RequestHandler, SdkStores {
  /** Random per start. Also in the header `X-Anynode-Node`. */
  readonly nodeId: string;
  /**
   * Resolves when the backplane was reached and the node's lease is held; with `upstream`, when the server at `upstream`
   * answers as well (see `upstreamCheck`). Goes on trying; rejects only after `close()`.
   */
  ready(options?: { upstream?: boolean }): Promise<void>;
  /**
   * The same endpoint for a server of Node's own: `createServer(mcp.listener)`. It answers each request that it is given,
   * whatever its path. Nothing of Express has seen these requests: no middleware, no `req.auth` unless you have put it
   * there, no `trust proxy`, and `principal` gets an `IncomingMessage`. What it spares is mostly spared by
   * {@link serverOptionsFor}, too; see `docs/performance.md`.
   */
  readonly listener: RequestListener;
  /** At once, from what this node knows. */
  health(): Health;
  sessions: Directory;
  session(id: string): SessionHandle;
  notify: Notify;
  /**
   * Ends the connections whose clients can come back, lets running calls finish for up to `drainMs` (default 10,000 ms),
   * discards all server objects and gives the lease up. Until then the node answers as ever; afterwards with 503.
   * Calling it again returns the same promise. Never rejects.
   *
   * `server`: the HTTP server that serves this node. It stops listening first, so that a balancer takes new requests to
   * other nodes, and its last connections are ended at the end. Left out: the HTTP server is the caller's to close.
   */
  close(options?: CloseOptions): Promise<void>;
}
