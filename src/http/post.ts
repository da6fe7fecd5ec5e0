import type { EndpointResponse } from './response/endpoint-response.js';
import type { Request } from 'express';
import { ErrorCode, errorResponse, isRequest } from '../protocol/json/jsonrpc.js';
import type { JsonRpcRequest, RequestId } from '../protocol/json/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import { FIRST_VERSION_WITH_PRIMING } from '../protocol/protocol-versions.js';
import { isInitializeRequest } from '../protocol/json/initialize-request.js';
import type { Inbound } from '../execution/messages/client-messages.js';
import type { NotServed, OpenedStream } from '../execution/execution.js';
import { InitializeRefused } from '../execution/session-start.js';
import type { AnynodeErrorCode } from '../protocol/errors.js';
import { AnynodeError } from '../protocol/errors.js';
import { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/followers/follower.js';
import { STANDALONE, TooManySessions } from '../backplane/backplane.js';
import { admitBody } from './body/admit-body.js';
import type { Posted } from './body/request-body.js';
import { messagesOf, readBody } from './body/request-body.js';
import { ResponseClosing } from './response/response-closing.js';
import type { Endpoint } from './endpoint.js';
import {
  isJson,
  isSessionId,
  namesOtherVersion,
  causeOf,
  requireAccept,
  requireJson,
  requireSessionId,
  sessionIdOf,
  spokenVersionOf,
} from './headers.js';
import { JsonConnection, sendJson } from './response/json-response.js';
import { answersModern } from './modern/modern.js';
import { sessionsFor } from './principal.js';
import type { Refusal } from './response/refusals.js';
import { batchTooLarge, RefusalError, REFUSALS } from './response/refusals.js';
import { isGone, reply } from './response/response.js';
import type { SseStream } from './response/sse-response.js';
import { SseConnection } from './response/sse-response.js';

/** An HTTP response and the callbacks to run when it closes. */
export interface Answer {
  res: EndpointResponse;
  closing: ResponseClosing;
}

/** Answers a POST: `initialize`, requests (each POST on its own stream), or only notifications and answers (202). */
export async function handlePost(
  endpoint: Endpoint,
  req: Request,
  res: EndpointResponse,
): Promise<void> {
  const { modern } = endpoint;
  // Only the body shows whether a request is of revision 2026-07-28. A body that is not JSON is refused in every revision.
  const mayBeModern = modern !== undefined && isJson(req);
  if (!mayBeModern) requireTypes(req);
  const sessionId = sessionIdOf(req);
  const principal = endpoint.principalOf(req);
  const isModern = mayBeModern && namesOtherVersion(req);
  if (sessionId !== undefined && !isModern) spokenVersionOf(req);
  await admitBody(endpoint, req, { sessionId, principal, isModern }, async (rules) => {
    const body = await readBody(req, rules);
    if (mayBeModern && (await answersModern(endpoint, modern, req, res, body))) return;
    if (mayBeModern) requireTypes(req);
    const posted = messagesOf(body, rules.limits);
    await answerMessages(endpoint, req, res, posted, principal);
  });
}

function requireTypes(req: Request): void {
  requireAccept(req, ['application/json', 'text/event-stream']);
  requireJson(req);
}

async function answerMessages(
  endpoint: Endpoint,
  req: Request,
  res: EndpointResponse,
  { messages, text }: Posted,
  principal: string,
): Promise<void> {
  const initialize = messages.find(isInitializeRequest);
  if (initialize !== undefined) {
    await refuseKnownSession(endpoint, req, principal);
    if (messages.length > 1) throw new RefusalError(REFUSALS.onlyOneInitialize);
    // A notification gets no answer, so its client would not learn the id of the session.
    if (!isRequest(initialize)) throw new RefusalError(REFUSALS.sessionIdRequired);
    await answerInitialize(endpoint, req, res, initialize, principal);
    return;
  }

  const sessionId = requireSessionId(req);
  const spoken = spokenVersionOf(req);
  const inbound = { sessionId, principal, messages, text };
  if (messages.some(isRequest)) {
    const closing = new ResponseClosing(res);
    if (!endpoint.shared.slots.take(sessionId, principal, res, closing)) {
      throw new RefusalError(REFUSALS.tooManyStreams);
    }
    await answerRequests(endpoint, req, { res, closing }, inbound, spoken);
    return;
  }
  const received = await endpoint.execution.storeAndDeliver(inbound, causeOf(req));
  if (received === 'gone') throw new RefusalError(REFUSALS.sessionNotFound);
  if (received === 'full') throw new RefusalError(REFUSALS.serverBehind);
  reply(res, 202);
}

/** Refuses an `initialize` that names a session: with 400 if the caller has that session, and with 404 if not. */
async function refuseKnownSession(
  { execution }: Endpoint,
  req: Request,
  principal: string,
): Promise<void> {
  const id = sessionIdOf(req);
  if (id === undefined) return;
  const known = isSessionId(id) && (await execution.access.owns(principal, id));
  throw new RefusalError(known ? REFUSALS.alreadyInitialized : REFUSALS.sessionNotFound);
}

async function answerInitialize(
  endpoint: Endpoint,
  req: Request,
  res: EndpointResponse,
  request: JsonRpcRequest,
  principal: string,
): Promise<void> {
  const { options, execution } = endpoint;
  const delivery = causeOf(req);
  const { authInfo } = delivery;
  const id = options.sessionIdGenerator();
  if (!isSessionId(id)) {
    throw new TypeError('mcp-anynode: sessionIdGenerator returned an id that is not allowed');
  }
  const session = { id, principal, authInfo, most: sessionsFor(principal, options.limits) };
  try {
    const { exchange, positions } = await execution.initialize(request, session, delivery);
    const shown = exchange.outbound
      .map(({ stream, message }, at) => ({ stream, message, position: positions[at + 1] }))
      .filter(({ stream }) => stream === exchange.stream);
    if (options.responseMode === 'json') {
      sendJson(
        res,
        id,
        shown.slice(-1).map(({ message }) => message),
      );
      return;
    }
    const cursors = new Cursors(id);
    const connection = sseConnection(
      endpoint,
      { res, closing: new ResponseClosing(res) },
      { sessionId: id, name: exchange.stream, cursors, isGet: false },
    );
    const version = String(request.params?.protocolVersion);
    connection.open(primes(endpoint, version) ? positions[0] : undefined);
    for (const [at, { message, position }] of shown.entries()) {
      const end = at === shown.length - 1;
      if (position !== undefined) connection.write({ position, message, end });
    }
    connection.end('complete');
  } catch (error) {
    if (error instanceof AnynodeError && TRY_LATER.has(error.code)) throw error;
    if (error instanceof TooManySessions) {
      throw new RefusalError(
        error.kind === 'pending' ? REFUSALS.tooManyPending : REFUSALS.tooManySessions,
      );
    }
    answerWithoutSession(endpoint, res, request, error);
  }
}

/** Errors after which the client gets 503, because a later try may succeed. */
const TRY_LATER = new Set<AnynodeErrorCode>(['backplane_unavailable', 'audit_full']);

/**
 * Answers an `initialize` that the server refused, or that failed. The client gets a JSON-RPC error, and there is no
 * session.
 */
function answerWithoutSession(
  endpoint: Endpoint,
  res: EndpointResponse,
  request: JsonRpcRequest,
  error: unknown,
): void {
  const { answer, httpAnswer } = error instanceof InitializeRefused ? error.exchange : {};
  if (httpAnswer !== undefined) {
    reply(res, httpAnswer.status, httpAnswer.headers, httpAnswer.body);
    return;
  }
  if (answer === undefined) {
    endpoint.options.logger.error(`mcp-anynode: initialize failed: ${String(error)}`);
  }
  const shown = answer ?? errorResponse(request.id, ErrorCode.InternalError, 'Internal error');
  sendJson(res, undefined, [JSON.stringify(shown)]);
}

async function answerRequests(
  endpoint: Endpoint,
  req: Request,
  answer: Answer,
  inbound: Inbound,
  spoken: string,
): Promise<void> {
  const { connections, execution } = endpoint;
  const { sessionId, messages } = inbound;
  const requests = messages.filter(isRequest);
  refuseBadRequests(endpoint, requests);
  const stream = { name: connections.nextName(), token: connections.nextName() };
  const context = deliveryContext(endpoint, req, { sessionId, name: stream.name });
  const served = await execution.serve(inbound, stream, context, (opened) => {
    // No connection can follow the stream if this node has closed, or if other code (such as a timeout middleware) has begun
    // the response.
    if (endpoint.lifetime.isClosed() || answer.res.headersSent) return undefined;
    const order = requests.map(({ id }) => id);
    return answerStream(endpoint, answer, { ...stream, sessionId, order, spoken }, opened);
  });
  refuseUnserved(served);
}

const UNSERVED: Record<NotServed, Refusal> = {
  gone: REFUSALS.sessionNotFound,
  duplicate: REFUSALS.duplicateRequest,
  limited: REFUSALS.tooManyRequests,
  unfollowed: REFUSALS.closed,
};

/** Throws the refusal for requests that were not run. */
export function refuseUnserved(served: 'served' | NotServed): void {
  if (served !== 'served') throw new RefusalError(UNSERVED[served]);
}

/** Makes the context that a handler gets with a request of this stream. */
export function deliveryContext(
  endpoint: Endpoint,
  req: Request,
  { sessionId, name }: { sessionId: string; name: string },
): DeliveryContext {
  const resumable =
    endpoint.options.responseMode === 'sse' && spokenVersionOf(req) >= FIRST_VERSION_WITH_PRIMING;
  return {
    ...causeOf(req),
    ...(resumable && {
      closeSSEStream: () => endpoint.connections.hangUp(sessionId, name),
      closeStandaloneSSEStream: () => endpoint.connections.hangUp(sessionId, STANDALONE),
    }),
  };
}

/** Refuses a batch of requests if ids occur twice in it, or if it has more requests than one session may run at once. */
export function refuseBadRequests({ options }: Endpoint, requests: JsonRpcRequest[]): void {
  refuseRepeatedIds(requests);
  const { requestsPerSession } = options.limits;
  if (requests.length > requestsPerSession) {
    throw new RefusalError(batchTooLarge(requestsPerSession));
  }
}

/** Refuses a batch in which two requests have the same id, because their answers could not be told apart. */
function refuseRepeatedIds(requests: JsonRpcRequest[]): void {
  const ids = new Set(requests.map(({ id }) => id));
  if (ids.size < requests.length) throw new RefusalError(REFUSALS.duplicateRequest);
}

function answerStream(
  endpoint: Endpoint,
  { res, closing }: Answer,
  stream: { sessionId: string; name: string; token: string; order: RequestId[]; spoken: string },
  { position, cursors, onEnd }: OpenedStream,
): Follower {
  const { connections, options } = endpoint;
  const { sessionId, name, order } = stream;
  // The client may have gone while its request was being stored. Then no connection holds the stream, and the client can
  // resume it.
  const onClose = (): void => follower.end('closed');
  const sink =
    options.responseMode === 'json'
      ? new JsonConnection(res, closing, {
          ...{ sessionId, order, onClose },
          stalledMs: options.limits.stalledMs,
          logger: options.logger,
        })
      : sseConnection(
          endpoint,
          { res, closing },
          { sessionId, name, cursors, isGet: false },
          onClose,
        );
  const follower = connections.follow({ ...stream, position }, sink, onEnd);
  if (sink instanceof SseConnection) {
    sink.open(primes(endpoint, stream.spoken) ? position : undefined);
  }
  if (isGone(res)) onClose();
  return follower;
}

/** True if a stream for a client of this version begins with an event that has an id and no data. */
export function primes({ options }: Endpoint, version: string): boolean {
  return options.primingEvents && version >= FIRST_VERSION_WITH_PRIMING;
}

export function sseConnection(
  endpoint: Endpoint,
  { res, closing }: Answer,
  stream: SseStream,
  onClose: () => void = () => undefined,
): SseConnection {
  return new SseConnection(res, closing, stream, endpoint.shared.sse, onClose);
}
