import type { EndpointResponse } from './response/endpoint-response.js';
import type { Request } from 'express';
import type { AttachRequest } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Attached, HeldStream } from '../execution/client-connections.js';
import { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/followers/follower.js';
import { ResponseClosing } from './response/response-closing.js';
import type { Endpoint } from './endpoint.js';
import { headerOf } from './incoming-request.js';
import { requireAccept, requireSessionId, spokenVersionOf } from './headers.js';
import type { Answer } from './post.js';
import { deliveryContext, primes, sseConnection } from './post.js';
import { RefusalError, REFUSALS } from './response/refusals.js';
import { isGone, reply } from './response/response.js';
import { tellAttached, tellRefused } from './tell-attached.js';

/** Answers a GET with the session's standalone stream, or, with `Last-Event-ID`, with the stream of that event. */
export async function handleGet(
  endpoint: Endpoint,
  req: Request,
  res: EndpointResponse,
): Promise<void> {
  requireAccept(req, ['text/event-stream']);
  const sessionId = requireSessionId(req);
  const spoken = spokenVersionOf(req);
  const { connections, lifetime, shared } = endpoint;

  const cursors = new Cursors(sessionId);
  const lastEventId = headerOf(req, 'last-event-id');
  const cursor = lastEventId !== undefined ? cursors.parse(lastEventId) : undefined;
  const request: AttachRequest = {
    sessionId,
    principal: endpoint.principalOf(req),
    stream: cursor?.stream ?? STANDALONE,
    token: connections.nextName(),
    cursor: cursor?.position,
    unlessHeld: endpoint.options.standaloneStream === 'reject' && cursor === undefined,
    isWanted: () => !isGone(res),
  };
  const closing = new ResponseClosing(res);
  if (!shared.slots.take(sessionId, request.principal, res, closing)) {
    throw new RefusalError(REFUSALS.tooManyStreams);
  }
  if (lastEventId !== undefined && lastEventId !== '' && cursor === undefined) {
    await refuseCursor(endpoint, request);
  }
  if (isGone(res)) return;
  await shared.turns.take(sessionId, request.stream, request.principal, (task) =>
    closing.add(task),
  );
  if (isGone(res)) return;
  if (lifetime.isClosed()) throw new RefusalError(REFUSALS.closed);

  const arriving = connections.expect(request.token);
  try {
    const attached = await attach(endpoint, request);
    if (attached === 'unwanted') return;
    if (attached === 'ended' || (await isSilent(endpoint, request, attached))) {
      // For Server-Sent Events, 204 tells the client not to come back. After an SSE response without a message, the SDK's v1
      // client would come back for ever. It takes a stream for complete only if the same connection has shown it a result,
      // and an error does not count.
      reply(res, 204, { 'mcp-session-id': sessionId });
      return;
    }
    const position = await connections.takeOver(request, attached);
    arriving.beginsAfter(position);
    if (lifetime.isClosed()) throw new RefusalError(REFUSALS.closed);
    const stream = { sessionId, name: request.stream, token: request.token, position, cursors };
    // A client that sent this event id does not need to get it again.
    const isNew = cursors.format(stream.name, position) !== lastEventId;
    const primed = isNew && primes(endpoint, spoken);
    const told = { ...attached, primed, lost: arriving.lost };
    if (!arriving.lost) void tellAttached(endpoint.node, request, attached);
    show(endpoint, req, { res, closing }, stream, told);
  } finally {
    arriving.arrived();
  }
}

/** Opens the connection and lets a follower write to it. */
function show(
  endpoint: Endpoint,
  req: Request,
  answer: Answer,
  stream: HeldStream & { cursors: Cursors },
  {
    executor,
    unbegun,
    trace,
    primed,
    lost,
  }: Pick<Attached, 'executor' | 'unbegun' | 'trace'> & { primed: boolean; lost: boolean },
): void {
  const { connections, execution } = endpoint;
  const { res } = answer;
  // The connection may close before the follower is assigned below.
  let follower: Follower | undefined = undefined as Follower | undefined;
  const shown = { ...stream, isGet: true };
  const connection = sseConnection(endpoint, answer, shown, () => follower?.end('closed'));
  if (lost) {
    // A newer connection has taken the stream over before this one was set up.
    connection.open(undefined);
    connection.end('replaced');
    return;
  }
  follower = connections.follow(stream, connection, (ended) => execution.unfollow(ended));
  // The client may have gone meanwhile.
  if (isGone(res)) {
    follower.end('closed');
    return;
  }
  connection.open(primed ? stream.position : undefined);
  // The connection is attached, so the log has all messages since then. Read it now.
  follower.poke();
  if (executor === undefined) return;
  const context = { ...deliveryContext(endpoint, req, stream), trace };
  // The requests of the stream may run on another node. If that node dies, this node ends them with an error or runs them
  // again. The requests may also not have begun, because the node that was to hand them to their owner has lost the client.
  // Then this node hands them over.
  execution.follow(follower, { executor, unbegun }, context);
}

/** Refuses a cursor of another session with 400, but says 404 first if the caller has no such session. */
async function refuseCursor(endpoint: Endpoint, request: AttachRequest): Promise<never> {
  const identity = await endpoint.node.backplane.identify(request.sessionId);
  const known = identity?.principal === request.principal;
  throw new RefusalError(known ? REFUSALS.invalidEventId : REFUSALS.sessionNotFound);
}

async function attach(
  endpoint: Endpoint,
  request: AttachRequest,
): Promise<Attached | 'ended' | 'unwanted'> {
  const reply = await endpoint.connections.attach(request);
  if (reply.status !== 'attached' && request.cursor !== undefined) {
    tellRefused(endpoint.node, reply.status);
  }
  switch (reply.status) {
    case 'attached':
      return reply;
    case 'ended':
    case 'unwanted':
      return reply.status;
    case 'gone':
      endpoint.execution.sessions.verify(request.sessionId);
      throw new RefusalError(REFUSALS.sessionNotFound);
    case 'conflict':
      throw new RefusalError(REFUSALS.conflict);
    case 'unknown':
      throw new RefusalError(REFUSALS.invalidEventId);
    case 'trimmed':
      throw new RefusalError(REFUSALS.eventsTrimmed);
  }
}

/**
 * True if the stream has ended and the log has nothing more of it to show. An SSE response would not move the client's cursor
 * then, and the client would come back for ever.
 */
async function isSilent(
  endpoint: Endpoint,
  request: AttachRequest,
  attached: Attached,
): Promise<boolean> {
  const rest = await endpoint.connections.restOf(request, attached);
  if (rest === 'trimmed') {
    // There was something to show at `attach`. The log has been trimmed since then.
    tellRefused(endpoint.node, 'trimmed');
    throw new RefusalError(REFUSALS.eventsTrimmed);
  }
  return rest === 'silent';
}
