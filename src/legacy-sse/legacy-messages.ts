import type { Request, Response } from 'express';
import { isRequest } from '../protocol/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Inbound } from '../execution/session-service.js';
import { streamShownOnStandalone } from '../stream/shown-on.js';
import { admitBody } from '../http/body/admit-body.js';
import { readMessages } from '../http/body/request-body.js';
import type { Endpoint } from '../http/endpoint.js';
import { requestInfoOf, requireJson } from '../http/headers.js';
import { authInfoOf } from '../http/principal.js';
import { refuseBadRequests } from '../http/post.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { reply } from '../http/response/response.js';
import { followRequests, legacyPrincipal } from './open-legacy-session.js';

/** POST: stores what the client says, and has it carried out. What comes of it is shown on the client's connection. */
export async function receiveMessages(
  endpoint: Endpoint,
  req: Request,
  res: Response,
): Promise<void> {
  const { sessionId } = req.query;
  if (typeof sessionId !== 'string') throw new RefusalError(REFUSALS.sessionIdParameter);
  requireJson(req);
  const principal = legacyPrincipal(endpoint, req);
  await admitBody(endpoint, req, { sessionId, principal }, async (rules) => {
    const posted = await readMessages(req, rules);
    await receivePosted(endpoint, req, { sessionId, principal, ...posted });
  });
  reply(res, 202, {}, 'Accepted');
}

async function receivePosted(endpoint: Endpoint, req: Request, inbound: Inbound): Promise<void> {
  const context = { authInfo: authInfoOf(req), requestInfo: requestInfoOf(req) };
  if (inbound.messages.some(isRequest)) {
    await runRequests(endpoint, inbound, context);
  } else {
    const received = await endpoint.sessions.receive(inbound, context);
    if (received === 'gone') throw new RefusalError(REFUSALS.sessionNotFound);
    if (received === 'full') throw new RefusalError(REFUSALS.serverBehind);
  }
}

async function runRequests(
  endpoint: Endpoint,
  inbound: Inbound,
  context: DeliveryContext,
): Promise<void> {
  const { node, sessions, handovers, elsewhere } = endpoint;
  const { sessionId, messages } = inbound;
  const requests = messages.filter(isRequest);
  refuseBadRequests(endpoint, requests);
  const stream = { name: streamShownOnStandalone(node.nextName()), token: node.nextName() };
  const opened = await sessions.open(inbound, stream);
  if (opened === 'gone') throw new RefusalError(REFUSALS.sessionNotFound);
  if (opened === 'duplicate') throw new RefusalError(REFUSALS.duplicateRequest);
  if (opened === 'limited') throw new RefusalError(REFUSALS.tooManyRequests);
  if (endpoint.isClosed()) {
    opened.abandon();
    throw new RefusalError(REFUSALS.closed);
  }
  const { position, owner } = opened;
  if (owner !== undefined) elsewhere.begin();
  const ids = requests.map(({ id }) => id);
  const follower = followRequests(endpoint, { sessionId, ...stream, position }, ids, () => {
    if (owner !== undefined) elsewhere.end();
  });
  if (owner === undefined) endpoint.orphans.attend(follower, context);
  opened.run(context);
  if (owner === undefined) return;
  const texts = requests.map((request) => JSON.stringify(request));
  handovers.hand(follower, owner, context, texts);
}
