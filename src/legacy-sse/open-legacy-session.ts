import type { Request, Response } from 'express';
import type { AppendOperation, Position } from '../backplane/backplane.js';
import { compareLogIds, LOG_START, STANDALONE, TooManySessions } from '../backplane/backplane.js';
import type { RequestId } from '../protocol/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import { answerLost } from '../replica/requests/request-errors.js';
import type { NodeContext } from '../stream/node-context.js';
import { deliverToFollowers } from '../stream/deliver-to-followers.js';
import type { Follower } from '../stream/follower.js';
import type { HeldStream } from '../execution/client-connections.js';
import type { Endpoint } from '../http/endpoint.js';
import { isSessionId, requestInfoOf } from '../http/headers.js';
import { authInfoOf, sessionsFor } from '../http/principal.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { isGone } from '../http/response/response.js';
import { cutWhenStalled } from '../http/response/stalled-client.js';
import { LegacyConnection, LegacyRequests } from './legacy-connection.js';

/** In front of the principal of a session of HTTP+SSE: for clients of Streamable HTTP it does not exist, nor the reverse. */
const TRANSPORT = 'sse:';

export function legacyPrincipal(endpoint: Endpoint, req: Request): string {
  return `${TRANSPORT}${endpoint.principalOf(req)}`;
}

interface Session {
  id: string;
  principal: string;
}

/** GET: makes a session, and the connection that all of it is shown on. */
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
    const attached = await node.membership.attach({
      ...{ ...request, cursor: undefined, unlessHeld: false },
    });
    if (attached.status !== 'attached') throw new RefusalError(REFUSALS.sessionNotFound);
    if (endpoint.lifetime.isClosed() || res.headersSent) throw new RefusalError(REFUSALS.closed);
    ({ position } = attached);
  } catch (error) {
    endSession(endpoint, session);
    throw error;
  }
  const context = { authInfo: authInfoOf(req), requestInfo: requestInfoOf(req) };
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
      // No client can come back to it, whatever the reason. (`replaced`: the backplane has lost that this node holds the stream.)
      if (reason !== 'gone') endSession(endpoint, session);
    },
    onRestart: () => follower.end('hangup'),
    onOpener: (nodeId) => openers.note(follower, nodeId),
  });
  const follower: Follower = connections.follow(stream, connection, (ended) =>
    openers.remove(ended),
  );
  openers.add(follower, (dead) => takeOver(endpoint, session, context, dead));
  // The client may have gone while its session was stored.
  if (isGone(res)) {
    follower.end('closed');
    return;
  }
  connection.open(address);
  // Attached first, read now: whatever came between is in the log.
  follower.poke();
}

/** Never rejects: what cannot be ended now ends when its time is over. */
function endSession({ node, execution }: Endpoint, { id, principal }: Session): void {
  execution.sessions.end(id);
  node.membership.remove(id, principal).catch(() => undefined);
}

/**
 * Follows the requests that no node follows any more, since the node is dead that they were POSTed to. `undefined`: whichever
 * node that is.
 */
async function takeOver(
  endpoint: Endpoint,
  { id, principal }: Session,
  context: DeliveryContext,
  dead: string | undefined,
): Promise<void> {
  const { node, connections, execution } = endpoint;
  for (const { stream, holder, runsOn } of await node.membership.openStreams(id)) {
    if (dead === undefined) {
      if (node.followers.find(id, stream) !== undefined) continue;
      if (holder !== undefined && (await connections.isOfLivingNode(holder))) {
        // The holder looks after the request in the name of its client; but not where it has seen an answer that the backplane
        // has lost since. Then the node that ran the request ends it.
        if (runsOn !== undefined) execution.doubt(runsOn, id, stream);
        continue;
      }
    } else if (holder !== undefined && holder !== dead) continue;
    const token = connections.nextName();
    const attached = await connections.attach({
      ...{ sessionId: id, principal, stream, token, cursor: undefined, unlessHeld: false },
    });
    if (attached.status !== 'attached') continue;
    const { position, executor, unbegun } = attached;
    const followed = { sessionId: id, name: stream, token, position };
    const follower = followRequests(endpoint, followed, [], (ended) => execution.unfollow(ended));
    follower.poke();
    execution.follow(follower, { executor, unbegun }, context, executor === dead);
  }
}

/**
 * So that somebody looks after the executor of these requests. What is shown of them is shown on the client's connection; if
 * the backplane loses them, that is an error. (Requests of a node that is dead are not known by their ids: `[]`.)
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

/** Never rejects: where the backplane stays away, the connection ends with this node. */
async function tellLost(
  node: NodeContext,
  { sessionId, position }: { sessionId: string; position: Position },
  ids: RequestId[],
  keptMs: number,
): Promise<void> {
  const operations = ids.map((id): AppendOperation => {
    return { type: 'append', stream: STANDALONE, message: JSON.stringify(answerLost(id)) };
  });
  if (operations.length === 0) return;
  try {
    // Where the log was trimmed since, its end may have been in it: then the requests have been answered.
    const [first] = await node.membership.history(sessionId, LOG_START, 1);
    if (first !== undefined && compareLogIds(first.logId, position.logId) > 0) return;
    const isOld =
      Number.parseInt(position.logId, 10) + keptMs < (await node.membership.timeOf(sessionId));
    if (first === undefined && isOld) return;
    const committed = await node.commitQueue.append(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(node.followers, sessionId, operations, committed.results);
  } catch (error) {
    node.logger.warn(
      `mcp-anynode: requests were lost, and their client was not told: ${String(error)}`,
    );
  }
}
