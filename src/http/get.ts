import type { Request, Response } from 'express';
import type { AttachRequest } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Attached, HeldStream } from '../execution/client-connections.js';
import { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/follower.js';
import { ResponseClosing } from './response/response-closing.js';
import type { Endpoint } from './endpoint.js';
import { requireAccept, requireSessionId, spokenVersionOf } from './headers.js';
import type { Answer } from './post.js';
import { deliveryContext, primes, sseConnection } from './post.js';
import { RefusalError, REFUSALS } from './response/refusals.js';
import { isGone, reply } from './response/response.js';

/** A GET: the session's standalone stream, or, with `Last-Event-ID`, the stream that the event belongs to. */
export async function handleGet(endpoint: Endpoint, req: Request, res: Response): Promise<void> {
  requireAccept(req, ['text/event-stream']);
  const sessionId = requireSessionId(req);
  const spoken = spokenVersionOf(req);
  const { connections, lifetime, shared } = endpoint;

  const cursors = new Cursors(sessionId);
  const lastEventId = req.headers['last-event-id'];
  const cursor = typeof lastEventId === 'string' ? cursors.parse(lastEventId) : undefined;
  const request: AttachRequest = {
    sessionId,
    principal: endpoint.principalOf(req),
    stream: cursor?.stream ?? STANDALONE,
    token: connections.nextName(),
    cursor: cursor?.position,
    unlessHeld: endpoint.options.standaloneStream === 'reject' && cursor === undefined,
  };
  const closing = new ResponseClosing(res);
  if (!shared.slots.take(sessionId, request.principal, res, closing)) {
    throw new RefusalError(REFUSALS.tooManyStreams);
  }
  if (typeof lastEventId === 'string' && lastEventId !== '' && cursor === undefined) {
    await refuseCursor(endpoint, request);
  }

  const claim = connections.expect(request.token);
  try {
    const attached = await attach(endpoint, request);
    if (attached === 'ended' || (await isSilent(endpoint, request, attached))) {
      // Server-sent events' word for "do not come back". An SSE response that just ends would bring the SDK's v1 client
      // back for ever: it takes a stream for complete only when it has seen a result, not an error, in that connection.
      reply(res, 204, { 'mcp-session-id': sessionId });
      return;
    }
    const position = await connections.takeOver(request, attached);
    claim.beginsAfter(position);
    if (lifetime.isClosed()) throw new RefusalError(REFUSALS.closed);
    const stream = { sessionId, name: request.stream, token: request.token, position, cursors };
    // A client that has just sent this very event id is not told it once more.
    const isNew = cursors.format(stream.name, position) !== lastEventId;
    const primed = isNew && primes(endpoint, spoken);
    const told = { ...attached, primed, lost: claim.lost };
    show(endpoint, req, { res, closing }, stream, told);
  } finally {
    claim.arrived();
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
    primed,
    lost,
  }: Pick<Attached, 'executor' | 'unbegun'> & { primed: boolean; lost: boolean },
): void {
  const { connections, execution } = endpoint;
  const { res } = answer;
  // Assigned below; the connection may close before that.
  let follower: Follower | undefined = undefined as Follower | undefined;
  const shown = { ...stream, isGet: true };
  const connection = sseConnection(endpoint, answer, shown, () => follower?.end('closed'));
  if (lost) {
    // Overtaken by a newer connection while it was on its way.
    connection.open(undefined);
    connection.end('replaced');
    return;
  }
  follower = connections.follow(stream, connection, (ended) => execution.unfollow(ended));
  // The client may have gone while we asked around.
  if (isGone(res)) {
    follower.end('closed');
    return;
  }
  connection.open(primed ? stream.position : undefined);
  // Attached first, read now: whatever came between is in the log.
  follower.poke();
  if (executor === undefined) return;
  const context = deliveryContext(endpoint, req, stream);
  // Its requests run elsewhere. Should that node die, this node has to tell the client. Or they do not run yet, and the node
  // that was to see to it has lost the client.
  execution.follow(follower, { executor, unbegun }, context);
}

/** Not a cursor of this session. Whether there is such a session is said first. */
async function refuseCursor(endpoint: Endpoint, request: AttachRequest): Promise<never> {
  const identity = await endpoint.node.membership.identify(request.sessionId);
  const known = identity?.principal === request.principal;
  throw new RefusalError(known ? REFUSALS.invalidEventId : REFUSALS.sessionNotFound);
}

async function attach(endpoint: Endpoint, request: AttachRequest): Promise<Attached | 'ended'> {
  const reply = await endpoint.connections.attach(request);
  switch (reply.status) {
    case 'attached':
      return reply;
    case 'ended':
      return 'ended';
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

/** If nothing of what is left would be shown, the client's cursor would not move, and it would come back for ever. */
async function isSilent(
  { connections }: Endpoint,
  request: AttachRequest,
  attached: Attached,
): Promise<boolean> {
  const rest = await connections.restOf(request, attached);
  // There was something to show when the stream was attached to. The log has been trimmed since then.
  if (rest === 'trimmed') throw new RefusalError(REFUSALS.eventsTrimmed);
  return rest === 'silent';
}
