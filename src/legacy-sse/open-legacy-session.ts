import type { Request, Response } from 'express';
import type { AppendOperation, Position } from '../backplane/backplane.js';
import { compareLogIds, LOG_START, STANDALONE, TooManySessions } from '../backplane/backplane.js';
import type { RequestId } from '../protocol/json/jsonrpc.js';
import { untilReached } from '../protocol/timing/backoff.js';
import type { DeliveryContext } from '../replica/replica.js';
import { answerLost } from '../replica/requests/request-errors.js';
import type { NodeContext } from '../stream/node-context.js';
import { deliverToFollowers } from '../stream/followers/deliver-to-followers.js';
import type { Follower } from '../stream/followers/follower.js';
import type { HeldStream } from '../execution/client-connections.js';
import type { Endpoint } from '../http/endpoint.js';
import { isSessionId, causeOf } from '../http/headers.js';
import { sessionsFor } from '../http/principal.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { isGone } from '../http/response/response.js';
import { cutWhenStalled } from '../http/response/stalled-client.js';
import { LegacyConnection, LegacyRequests } from './legacy-connection.js';

/** Prefix of the principal of HTTP+SSE sessions. It makes a client of one transport unable to reach sessions of the other. */
const TRANSPORT = 'sse:';

export function legacyPrincipal(endpoint: Endpoint, req: Request): string {
  return `${TRANSPORT}${endpoint.principalOf(req)}`;
}

interface Session {
  id: string;
  principal: string;
}

/** Answers a GET: creates a session and its one connection, which shows all its messages. */
export async function openConnection(
  endpoint: Endpoint,
  req: Request,
  res: Response,
  messagesPath: string,
): Promise<void> {
  const { node, connections, options } = endpoint;
  const id = options.sessionIdGenerator();
  if (!isSessionId(id)) {
    throw new TypeError('mcp-anynode: sessionIdGenerator returned an id that is not allowed');
  }
  const session = { id, principal: legacyPrincipal(endpoint, req) };
  const most = sessionsFor(endpoint.principalOf(req), options.limits);
  await reserve(endpoint, { ...session, most });
  const token = connections.nextName();
  let position: Position;
  try {
    const request = { sessionId: id, principal: session.principal, stream: STANDALONE, token };
    const attached = await node.backplane.attach({
      ...{ ...request, cursor: undefined, unlessHeld: false },
    });
    if (attached.status !== 'attached') throw new RefusalError(REFUSALS.sessionNotFound);
    if (endpoint.lifetime.isClosed() || res.headersSent) throw new RefusalError(REFUSALS.closed);
    ({ position } = attached);
  } catch (error) {
    endSession(endpoint, session);
    throw error;
  }
  const context = causeOf(req);
  const stream = { sessionId: id, name: STANDALONE, token, position };
  const address = new URL(`${req.baseUrl}${messagesPath}`, 'http://localhost');
  address.searchParams.set('sessionId', id);
  show(endpoint, res, {
    session,
    stream,
    context,
    address: `${address.pathname}${address.search}`,
  });
}

async function reserve(
  { execution }: Endpoint,
  session: Parameters<Endpoint['execution']['reserve']>[0],
): Promise<void> {
  try {
    await execution.reserve(session);
  } catch (error) {
    if (!(error instanceof TooManySessions)) throw error;
    const isPending = error.kind === 'pending';
    throw new RefusalError(isPending ? REFUSALS.tooManyPending : REFUSALS.tooManySessions);
  }
}

function show(
  endpoint: Endpoint,
  res: Response,
  {
    session,
    stream,
    context,
    address,
  }: {
    session: Session;
    stream: { sessionId: string; name: string; token: string; position: Position };
    context: DeliveryContext;
    address: string;
  },
): void {
  const { node, connections, options } = endpoint;
  const { openers } = connections;
  const { keepAliveMs, retryMs, maxBufferedBytes, limits } = options;
  cutWhenStalled(res, limits.stalledMs);
  const connection = new LegacyConnection(res, {
    ...{ keepAliveMs, retryMs, maxBufferedBytes, clock: node.clock, logger: node.logger },
    onClose: () => follower.end('closed'),
    onEnd: (reason) => {
      // No client can come back to the session, whatever the reason is. (`replaced` means that a failover has lost the entry
      // which says that this node holds the stream.)
      if (reason !== 'gone') endSession(endpoint, session);
    },
    onRestart: () => follower.end('hangup'),
    onOpener: (nodeId) => openers.note(follower, nodeId),
  });
  const follower: Follower = connections.follow(stream, connection, (ended) =>
    openers.remove(ended),
  );
  openers.add(follower, (dead) => takeOver(endpoint, session, context, dead));
  // The client may have gone while the session was being stored.
  if (isGone(res)) {
    follower.end('closed');
    return;
  }
  connection.open(address);
  // The connection is attached, so the log has all messages since then. Read it now.
  follower.poke();
}

/** Ends the session. If the backplane cannot do that now, the session ends when it expires. Never rejects. */
function endSession({ node, execution }: Endpoint, { id, principal }: Session): void {
  execution.sessions.end(id);
  node.backplane.remove(id, principal).catch(() => undefined);
}

/**
 * Follows open requests of the session on this node:
 *
 * - If `dead` is a node: the requests that were POSTed to that node, and those without a holder.
 * - If `dead` is `undefined`: all requests that no living node follows. For each other request, asks the node that runs it
 *   whether it still does. That node ends a request that it does not run.
 *
 * Resolves with true if a node was asked. The question may be lost, so it has to be repeated while the request is open.
 */
async function takeOver(
  endpoint: Endpoint,
  { id, principal }: Session,
  context: DeliveryContext,
  dead: string | undefined,
): Promise<boolean> {
  const { node, connections, execution, lifetime } = endpoint;
  let hasAsked = false;
  for (const { stream, holder, runsOn } of await node.backplane.openStreams(id)) {
    if (dead === undefined) {
      if (node.followers.find(id, stream) !== undefined) continue;
      if (holder !== undefined && (await connections.isOfLivingNode(holder))) {
        // A living node follows this request already. But a failover may have lost an answer that the living node has seen.
        // If so, the node that ran the request ends the request again.
        if (runsOn === undefined) continue;
        execution.askExecutor(runsOn, id, stream);
        hasAsked = true;
        continue;
      }
    } else if (holder !== undefined && holder !== dead) continue;
    const token = connections.nextName();
    const attached = await connections.attach({
      ...{ sessionId: id, principal, stream, token, cursor: undefined, unlessHeld: false },
    });
    if (attached.status !== 'attached') continue;
    // This node may have closed meanwhile and ended its connections. Then its claims no longer count.
    if (lifetime.isClosed()) return false;
    const { position, executor, unbegun } = attached;
    const followed = { sessionId: id, name: stream, token, position };
    const follower = followRequests(endpoint, followed, [], (ended) => execution.unfollow(ended));
    follower.poke();
    execution.follow(follower, { executor, unbegun }, context, executor === dead);
  }
  return hasAsked;
}

/**
 * Follows the stream of requests, so that this node looks after their executor. Their messages are shown on the client's
 * connection. If the backplane loses the requests, the client gets an error for each of `ids`. For requests of a dead node
 * `ids` is empty, because their ids are not known.
 */
export function followRequests(
  { node, connections, options }: Endpoint,
  stream: HeldStream,
  ids: RequestId[],
  onEnd: (follower: Follower) => void,
): Follower {
  const sink = new LegacyRequests(() => {
    void tellLost(node, stream, ids, options.retention.maxAgeMs);
  });
  return connections.follow(stream, sink, onEnd);
}

/**
 * Sends the client an error for each request that was lost, once the backplane can be reached. Never rejects: if this node
 * closes before, the connection of the client ends with it.
 */
async function tellLost(
  node: NodeContext,
  { sessionId, position }: { sessionId: string; position: Position },
  ids: RequestId[],
  keptMs: number,
): Promise<void> {
  const { backplane, commitQueue, clock, followers, logger } = node;
  const operations = ids.map((id): AppendOperation => {
    return { type: 'append', stream: STANDALONE, message: JSON.stringify(answerLost(id)) };
  });
  if (operations.length === 0) return;
  try {
    // If the log has been trimmed since then, the trimmed part may have had the end of the stream. So take the requests for
    // answered.
    const mayBeAnswered = await untilReached(async () => {
      const [first] = await backplane.history(sessionId, LOG_START, 1);
      if (first !== undefined) return compareLogIds(first.logId, position.logId) > 0;
      const opened = Number.parseInt(position.logId, 10);
      return opened + keptMs < (await backplane.timeOf(sessionId));
    }, clock);
    if (mayBeAnswered) return;
    const committed = await commitQueue.store(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(followers, sessionId, operations, committed.results);
  } catch (error) {
    logger.warn(`mcp-anynode: requests were lost, and their client was not told: ${String(error)}`);
  }
}
