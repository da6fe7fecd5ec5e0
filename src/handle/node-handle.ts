import type { RequestListener } from 'node:http';
import type { RequestHandler } from 'express';
import type { FetchHandler } from '../http/fetch/fetch-handler.js';
import type { ListeningServer } from '../http/response/closing-server.js';
import type { SdkStores } from '../sdk-stores/store-types.js';
import type { Notify } from './notify.js';
import type { Directory } from '../operator/session-directory.js';
import type { SessionHandle } from './session-handle.js';

/** The state of one node. */
export interface Health {
  /**
   * The state of the node:
   *
   * - `ready`: the node serves.
   * - `draining`: `close()` was called.
   * - `down`: the backplane cannot be reached, or the server at `upstream` does not answer. `reason` says why.
   */
  status: 'ready' | 'draining' | 'down';
  /** The id of this node. */
  nodeId: string;
  /** Why the node is `down`. */
  reason?: string;
  /** How many sessions have a server object on this node. */
  sessions: number;
  /** How many connections this node sends messages to. */
  streams: number;
  /** How many requests run on this node. */
  inFlight: number;
}

/** Says how `mcp.close()` ends the node. */
export interface CloseOptions {
  /** How long running calls may take to end. Default 10,000 ms. */
  drainMs?: number | undefined;
  /** The HTTP server that serves the node. The node closes it too, in an order that loses no request. */
  server?: ListeningServer | undefined;
}

/** What `anynode()` returns: Express middleware, and the handle of this node. */
export interface Anynode extends RequestHandler, SdkStores {
  /** The id of this node, which is random and new at each start. It is also in the header `X-Anynode-Node`. */
  readonly nodeId: string;
  /**
   * Resolves when the backplane was reached and this node holds its lease. With `upstream: true` it also waits
   * until the server at `upstream` answers (see `upstreamCheck`). The node keeps trying, and the promise rejects only
   * after `close()`.
   */
  ready(options?: { upstream?: boolean }): Promise<void>;
  /**
   * The same endpoint for a server of `node:http`: `createServer(mcp.listener)`. It answers each request, whatever its
   * path. Express does not see these requests: no middleware runs, there is no `req.auth` unless you set it, `trust
   * proxy` has no effect, and `principal` gets an `IncomingMessage`. With Express, `serverOptionsFor(app)` gives you
   * most of the gain in speed; see `docs/how-to/speed-up.md`.
   */
  readonly listener: RequestListener;
  /**
   * The same endpoint for frameworks of the Fetch standard, such as Hono, Next.js and SvelteKit: it takes a `Request` and
   * resolves with a `Response`. `options` says what the framework knows: `authInfo`, `parsedBody`, `clientAddress`. It answers
   * each request, whatever its path. If the client goes, the framework has to abort `request.signal` or cancel the stream of
   * the response. `principal` gets an `IncomingMessage` with headers, method, URL and `auth`. Without `allowedHosts`, only
   * `localhost` is served, unless `clientAddress` says that the request comes from another machine; see
   * `docs/how-to/use-another-framework.md`. The promise rejects only if `request` is no `Request`.
   */
  readonly fetch: FetchHandler;
  /** Returns the state of this node. It asks no other process. */
  health(): Health;
  /** All sessions of the cluster, for operators. */
  sessions: Directory;
  /** Returns the handle of a session, whichever node it is on: notifications, requests to its client, and its state. */
  session(id: string): SessionHandle;
  /** Tells all sessions of the cluster that a list or a resource has changed. */
  notify: Notify;
  /**
   * Closes this node. It ends the connections whose clients can resume, lets running calls finish for up to `drainMs`
   * (default 10,000 ms), discards all server objects and deletes the lease. The node answers as before until the calls
   * have finished, and with 503 afterwards. A second call returns the same promise. The promise never rejects.
   *
   * With `server`, the HTTP server stops listening first, so that a balancer sends new requests to other nodes. Its last
   * connections are closed at the end. Without `server`, you have to close the HTTP server yourself.
   */
  close(options?: CloseOptions): Promise<void>;
}
