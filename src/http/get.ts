import type { Request, Response } from 'express';
import type { AttachReply, AttachRequest, Position } from '../backplane/backplane.js';
import { LOG_START, STANDALONE } from '../backplane/backplane.js';
import { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/follower.js';
import { ResponseClosing } from './response/response-closing.js';
import { follow } from './ended-connections.js';
import type { Endpoint } from './endpoint.js';
import { requireAccept, requireSessionId, spokenVersionOf } from './headers.js';
import type { Answer } from './post.js';
import { deliveryContext, primes, sseConnection } from './post.js';
import { RefusalError, REFUSALS } from './response/refusals.js';
import { isGone, reply } from './response/response.js';

/** Of what is looked at before a response is begun. */
const PAGE_BYTES = 64 * 1024;

type Attached = Extract<AttachReply, { status: 'attached' }>;

/** A GET: the session's standalone stream, or, with `Last-Event-ID`, the stream that the event belongs to. */
export async function handleGet(endpoint: Endpoint, req: Request, res: Response): Promise<void> {
  requireAccept(req, ['text/event-stream']);
  const sessionId = requireSessionId(req);
  const spoken = spokenVersionOf(req);
  const { node } = endpoint;

  const cursors = new Cursors(sessionId);
  const lastEventId = req.headers['last-event-id'];
  const cursor = typeof lastEventId === 'string' ? cursors.parse(lastEventId) : undefined;
  const request: AttachRequest = {
    sessionId,
    principal: endpoint.principalOf(req),
    stream: cursor?.stream ?? STANDALONE,
    token: node.nextName(),
    cursor: cursor?.position,
    unlessHeld: endpoint.options.standaloneStream === 'reject' && cursor === undefined,
  };
  const closing = new ResponseClosing(res);
  if (!endpoint.slots.take(sessionId, request.principal, res, closing)) {
    throw new RefusalError(REFUSALS.tooManyStreams);
  }
  if (typeof lastEventId === 'string' && lastEventId !== '' && cursor === undefined) {
    await refuseCursor(endpoint, request);
  }

  const claim = node.followers.expect(request.token);
  try {
    const attached = await attach(endpoint, request);
    if (attached === 'ended' || (await isSilent(node, request, attached))) {
      // Server-sent events' word for "do not come back". An SSE response that just ends would bring the SDK's v1 client
      // back for ever: it takes a stream for complete only when it has seen a result, not an error, in that connection.
      reply(res, 204, { 'mcp-session-id': sessionId });
      return;
    }
    const position = await takeOver(endpoint, request, attached);
    claim.beginsAfter(position);
    if (endpoint.isClosed()) throw new RefusalError(REFUSALS.closed);
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
  stream: {
    sessionId: string;
    name: string;
    token: string;
    position: Position;
    cursors: Cursors;
  },
  {
    executor,
    unbegun,
    primed,
    lost,
  }: { executor?: string; unbegun?: boolean; primed: boolean; lost: boolean },
): void {
  const { node, orphans } = endpoint;
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
  follower = follow(node, stream, connection, (ended) => orphans.unwatch(ended));
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
  // Its requests run elsewhere. Should that node die, somebody has to tell the client, and we are the ones it sees. Or they
  // do not run yet, and whoever was to see to it has lost its client.
  if (unbegun === true) endpoint.handovers.hand(follower, executor, context, undefined);
  else orphans.watch(follower, executor, context);
}

/** Not a cursor of this session. Whether there is such a session is said first. */
async function refuseCursor(endpoint: Endpoint, request: AttachRequest): Promise<never> {
  const identity = await endpoint.node.membership.identify(request.sessionId);
  const known = identity?.principal === request.principal;
  throw new RefusalError(known ? REFUSALS.invalidEventId : REFUSALS.sessionNotFound);
}

async function attach(
  { node, sessions, takeovers }: Endpoint,
  request: AttachRequest,
): Promise<Attached | 'ended'> {
  let reply = await attachOnce(node, request);
  if (reply.status === 'conflict') {
    const { holder } = reply;
    const { sessionId, stream } = request;
    const [holdingNode = '', token = ''] = holder.split(':');
    const { watch } = node;
    const lookedAt = (await watch.isDead(holdingNode))
      ? await watch.momentOfDeath(request.sessionId, holdingNode)
      : undefined;
    if (lookedAt !== undefined) {
      reply = await attachOnce(node, { ...request, deadHolder: holder, lookedAt });
    } else if (await takeovers.doubt(holdingNode, { sessionId, stream, token })) {
      reply = await attachOnce(node, request);
    }
  }
  switch (reply.status) {
    case 'attached':
      return reply;
    case 'ended':
      return 'ended';
    case 'gone':
      sessions.verify(request.sessionId);
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
 * What an ended stream still has after the cursor may be questions that nobody would hear the answer to, and the end. None
 * of it is shown, so the client's cursor would not move, and it would come back for ever.
 */
async function isSilent(
  node: Endpoint['node'],
  { sessionId, stream }: AttachRequest,
  { executor, position }: Attached,
): Promise<boolean> {
  if (stream === STANDALONE || executor !== undefined) return false;
  let isEmpty = true;
  for (let after = position; ;) {
    const page = await node.membership.read({ sessionId, stream, after, maxBytes: PAGE_BYTES });
    if (page.status !== 'ok' || page.open) return false;
    for (const { message, asker } of page.events) {
      if (message === undefined) continue;
      if (asker === undefined || (await node.isAlive(asker))) return false;
    }
    isEmpty &&= page.events.length === 0;
    if (!page.more) {
      // There was something to show when the stream was attached to. The log has been trimmed since then.
      if (isEmpty) throw new RefusalError(REFUSALS.eventsTrimmed);
      return true;
    }
    const n = page.events.at(-1)?.position.n ?? after.n;
    after = { n, logId: page.scanned };
  }
}

/** The claim may be carried out though its answer did not come in time. Then there never was such a connection. */
async function attachOnce(node: Endpoint['node'], request: AttachRequest): Promise<AttachReply> {
  try {
    return await node.membership.attach(request);
  } catch (error) {
    const { sessionId, stream, token } = request;
    const position = { n: 0, logId: LOG_START };
    const undo = { type: 'detach' as const, stream, token, position, neverUsed: true };
    node.commitQueue.append(sessionId, [undo], true).catch(() => undefined); // closed: a dead node's claim counts for nothing
    throw error;
  }
}

/**
 * Ends the connection that held the stream, and finds out where to go on: at the client's cursor, else after what that
 * connection has written. One that does not answer may be dead: then its last reported position counts.
 */
async function takeOver(
  { takeovers }: Endpoint,
  { sessionId, stream, cursor }: AttachRequest,
  { previous, position }: Attached,
): Promise<Position> {
  if (previous === undefined) return position;
  const { nodeId, token } = previous;
  const release = takeovers.release(nodeId, { sessionId, stream, token });
  const reached = cursor === undefined ? await release : undefined;
  return cursor === undefined && reached !== undefined && reached.n > position.n
    ? reached
    : position;
}
