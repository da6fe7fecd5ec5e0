import type { Request, Response } from 'express';
import { isRequest } from '../protocol/json/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Inbound } from '../execution/messages/client-messages.js';
import { streamShownOnStandalone } from '../stream/shown-on.js';
import { admitBody } from '../http/body/admit-body.js';
import { messagesOf, readBody } from '../http/body/request-body.js';
import type { Endpoint } from '../http/endpoint.js';
import { causeOf, requireJson } from '../http/headers.js';
import { refuseBadRequests, refuseUnserved } from '../http/post.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { reply } from '../http/response/response.js';
import { followRequests, legacyPrincipal } from './open-legacy-session.js';

/** Answers a POST: stores the client's messages and has them handled. Answers are shown on the client's connection. */
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
    const posted = messagesOf(await readBody(req, rules), rules.limits);
    await receivePosted(endpoint, req, { sessionId, principal, ...posted });
  });
  reply(res, 202, {}, 'Accepted');
}

async function receivePosted(endpoint: Endpoint, req: Request, inbound: Inbound): Promise<void> {
  const context = causeOf(req);
  if (inbound.messages.some(isRequest)) {
    await runRequests(endpoint, inbound, context);
  } else {
    const received = await endpoint.execution.storeAndDeliver(inbound, context);
    if (received === 'gone') throw new RefusalError(REFUSALS.sessionNotFound);
    if (received === 'full') throw new RefusalError(REFUSALS.serverBehind);
  }
}

async function runRequests(
  endpoint: Endpoint,
  inbound: Inbound,
  context: DeliveryContext,
): Promise<void> {
  const { connections, execution, lifetime } = endpoint;
  const { sessionId, messages } = inbound;
  const requests = messages.filter(isRequest);
  refuseBadRequests(endpoint, requests);
  const name = streamShownOnStandalone(connections.nextName());
  const stream = { name, token: connections.nextName() };
  const served = await execution.serve(inbound, stream, context, ({ position, onEnd }) => {
    if (lifetime.isClosed()) return undefined;
    const ids = requests.map(({ id }) => id);
    return followRequests(endpoint, { sessionId, ...stream, position }, ids, onEnd);
  });
  refuseUnserved(served);
}
