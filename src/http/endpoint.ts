import type { IncomingMessage } from 'node:http';
import { inspect } from 'node:util';
import type { NextFunction, Request } from 'express';
import type { ClientConnections } from '../execution/client-connections.js';
import type { Execution } from '../execution/execution.js';
import type { NodeLifetime } from '../execution/node-lifetime.js';
import { AnynodeError } from '../protocol/errors.js';
import { LogLimit } from '../protocol/log-limit.js';
import type { Options } from '../options/options.js';
import type { NodeContext } from '../stream/node-context.js';
import { handleGet } from './get.js';
import { BodyBudget } from './body/body-budget.js';
import { guard } from './guard.js';
import { requireSessionId, spokenVersionOf } from './headers.js';
import type { Modern } from '../options/modern-option.js';
import { handlePost } from './post.js';
import { defaultPrincipal, principalReader } from './principal.js';
import type { Refusal } from './response/refusals.js';
import { labelsOf, refuse, RefusalError, REFUSALS } from './response/refusals.js';
import type { EndpointResponse } from './response/endpoint-response.js';
import { cut, reply } from './response/response.js';
import { SharedTimer } from '../protocol/timing/shared-timer.js';
import { ConnectionSlots } from './connection-slots.js';
import { StreamTurns } from './stream-turns.js';
import type { SseSettings } from './response/sse-response.js';

/** The parts that all requests of an endpoint share: limits, timers and the settings of SSE responses. */
export interface SharedResources {
  slots: ConnectionSlots;
  turns: StreamTurns;
  /** Bounds the bytes of request bodies. */
  bodies: BodyBudget;
  bodyTimeouts: Pick<SharedTimer, 'after' | 'close'>;
  sse: SseSettings;
  /** Limits how often a node says in its log what is wrong with all requests. */
  logLimit: LogLimit;
}

/** The parts of a node that the handlers of POST, GET and DELETE use. */
export interface Endpoint {
  node: NodeContext;
  options: Options;
  execution: Execution;
  connections: ClientConnections;
  lifetime: NodeLifetime;
  /**
   * Serves clients of revision 2026-07-28, which have no sessions. It is `undefined` if the option `modern` was not given.
   */
  modern: Modern | undefined;
  shared: SharedResources;
  principalOf(req: Request): string;
}

/**
 * How long the headers of a POST's event stream wait for the first message, so that both go out in one write. No client
 * notices this delay, and most calls are answered by then.
 */
const SOON_MS = 10;

const NO_TIMEOUT = { after: () => () => undefined, close: () => undefined };

export function endpointOf(parts: Omit<Endpoint, 'shared' | 'principalOf'>): Endpoint {
  const { options, node } = parts;
  const { keepAliveMs, retryMs, maxStreamAgeMs, maxBufferedBytes, limits, logger } = options;
  const shared: SharedResources = {
    slots: new ConnectionSlots(limits.streamsPerSession),
    turns: new StreamTurns(node.clock),
    logLimit: new LogLimit(node.clock),
    bodies: new BodyBudget(limits.bodyBytesInFlight),
    bodyTimeouts: limits.bodyMs === 0 ? NO_TIMEOUT : new SharedTimer(node.clock, limits.bodyMs),
    sse: {
      ...{ keepAliveMs, retryMs, maxStreamAgeMs, maxBufferedBytes, logger },
      stalledMs: limits.stalledMs,
      clock: node.clock,
      soon: new SharedTimer(node.clock, SOON_MS),
      onOld: (sessionId, stream) => parts.connections.hangUpHere(sessionId, stream),
    },
  };
  return {
    ...parts,
    shared,
    principalOf: principalReader(options.principal ?? defaultPrincipal, logger),
  };
}

/** The handle of a node. Middleware beside the node, such as `legacySse`, finds its endpoint here. */
export interface EndpointHandle {
  readonly endpoint: Endpoint;
}

/** Adds the endpoint to a handle, where neither `console.log` nor a copy of the handle shows it. */
export function setEndpoint(handle: object, endpoint: Endpoint): void {
  Object.defineProperty(handle, 'endpoint' satisfies keyof EndpointHandle, { value: endpoint });
}

/** Answers a request. Express can call it as middleware. */
export type Serve = (req: Request, res: EndpointResponse, next: NextFunction) => void;

/**
 * Returns the MCP endpoint as Express middleware. It answers every request. It calls `next` only with an error for which it
 * has no answer, such as an error that the option `principal` throws.
 */
export function middleware(endpoint: Endpoint): Serve {
  return serving(endpoint, (req, res) => handle(endpoint, req, res));
}

/**
 * Returns the MCP endpoint as a listener for Node's HTTP server, without Express. It logs an error for which it has no other
 * answer, and answers with 500.
 */
export function requestListener(
  endpoint: Endpoint,
): (req: IncomingMessage, res: EndpointResponse) => void {
  const serve = middleware(endpoint);
  return (req, res) => {
    serve(req as Request, res, (error: unknown) => {
      endpoint.options.logger.error(`mcp-anynode: a request failed: ${inspect(error)}`);
      refuse(res, REFUSALS.failed);
    });
  };
}

/**
 * Wraps `answer` with what all requests to this node have in common: the node's header, the count of requests, 503 after
 * closing, and error handling.
 */
export function serving(
  endpoint: Endpoint,
  answer: (req: Request, res: EndpointResponse) => Promise<void>,
): Serve {
  return (req, res, next) => {
    // Other code (such as a timeout middleware) has begun the response. Node would throw on a second answer, and without
    // Express no code would catch that.
    if (res.headersSent) {
      if (res.writableEnded) return;
      endpoint.options.logger.error('mcp-anynode: a response was begun in front of this endpoint');
      res.end();
      return;
    }
    if (endpoint.options.nodeHeader) res.setHeader('X-Anynode-Node', endpoint.node.nodeId);
    // Node then tells the client that the connection ends after this response, and ends it.
    if (endpoint.lifetime.isClosing()) res.shouldKeepAlive = false;
    if (endpoint.lifetime.isClosed()) {
      refuse(res, REFUSALS.closed);
      return;
    }
    endpoint.lifetime.arriving.begin();
    const leave = (): void => endpoint.lifetime.arriving.end();
    answer(req, res)
      .then(leave, (error: unknown) => {
        leave();
        const refusal = refusalOf(error);
        if (res.headersSent) {
          endpoint.options.logger.error(`mcp-anynode: a response broke off: ${String(error)}`);
          res.end();
        } else if (refusal !== undefined) {
          endpoint.node.telemetry?.count('refusals', labelsOf(refusal));
          if (refusal === REFUSALS.auditFull) warnOfAudit(endpoint, error);
          refuse(res, refusal);
        } else {
          next(error);
        }
      })
      .catch((error: unknown) => {
        // Middleware in front or an adapter may have changed the response so that it throws. No other code would catch that
        // here.
        endpoint.options.logger.error(
          `mcp-anynode: a request could not be answered: ${inspect(error)}`,
        );
        cut(res);
      });
  };
}

async function handle(endpoint: Endpoint, req: Request, res: EndpointResponse): Promise<void> {
  guard(req, endpoint.options, endpoint.shared.logLimit);
  switch (req.method) {
    case 'POST':
      return handlePost(endpoint, req, res);
    case 'GET':
      return handleGet(endpoint, req, res);
    case 'DELETE':
      return handleDelete(endpoint, req, res);
    default:
      throw new RefusalError(REFUSALS.methodNotAllowed);
  }
}

/** Answers a DELETE: ends the session on every node. */
async function handleDelete(
  endpoint: Endpoint,
  req: Request,
  res: EndpointResponse,
): Promise<void> {
  const sessionId = requireSessionId(req);
  spokenVersionOf(req);
  const { node, execution } = endpoint;
  const principal = endpoint.principalOf(req);
  // The record has to be read before it is removed, but the client does not wait for that.
  const age = node.telemetry && ageOf(node, sessionId);
  const removed = await node.backplane.remove(sessionId, principal);
  if (!removed) throw new RefusalError(REFUSALS.sessionNotFound);
  execution.sessions.end(sessionId);
  reply(res, 200);
  const lived = await age;
  if (lived !== undefined)
    node.telemetry?.measure('session', lived.ms, { 'mcp.protocol.version': lived.protocolVersion });
}

/** Returns how long a session has lived, for telemetry. `undefined`: that cannot be known now. Never rejects. */
async function ageOf({ backplane }: NodeContext, sessionId: string) {
  try {
    const record = await backplane.load(sessionId);
    if (record === undefined) return undefined;
    const ms = (await backplane.timeOf(sessionId)) - record.createdAt;
    return { ms: Math.max(0, ms), protocolVersion: record.protocolVersion };
  } catch {
    return undefined; // the DELETE itself says what is wrong
  }
}

/** Tells the operator that clients are refused. The archiver, which knows why, may be another process. */
function warnOfAudit({ shared, options }: Endpoint, error: unknown): void {
  shared.logLimit.pass('audit_full', (more) => {
    const reason = error instanceof Error ? error.message : '';
    options.logger.warn(`mcp-anynode: a client was refused with 503. ${reason}${more}`);
  });
}

function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof RefusalError) return error.refusal;
  if (!(error instanceof AnynodeError)) return undefined;
  if (error.code === 'closed') return REFUSALS.closed;
  // Another node may have the key of the codec that this node lacks, so the client should try again.
  if (error.code === 'undecodable') return REFUSALS.undecodable;
  if (error.code === 'audit_full') return REFUSALS.auditFull;
  return error.code === 'backplane_unavailable' ? REFUSALS.unavailable : undefined;
}
