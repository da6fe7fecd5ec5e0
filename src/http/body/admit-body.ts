import type { Request } from 'express';
import type { BodyRules } from './request-body.js';
import { SMALL_BODY_BYTES } from './body-budget.js';
import type { Endpoint } from '../endpoint.js';
import { isSessionId } from '../headers.js';
import { bodyTooLarge, handshakeTooLarge, RefusalError, REFUSALS } from '../response/refusals.js';

/** The sender of a POST, and the session that the POST names. */
export interface Sender {
  sessionId: string | undefined;
  principal: string;
  /** True if the headers name a revision that has no sessions, such as 2026-07-28. Then the session id does not count. */
  isModern?: boolean;
}

/**
 * Calls `read` with the rules for the body of a POST. The headers decide these rules, before the body is read. A large body
 * is read only if the session belongs to the caller. A body without a session is a handshake, which must be small. After
 * `read` the body's share of the budget is given back.
 */
export async function admitBody(
  endpoint: Endpoint,
  req: Request,
  sender: Sender,
  read: (rules: BodyRules) => Promise<void>,
): Promise<void> {
  const { sessionId, principal, isModern = false } = sender;
  if (sessionId !== undefined && !isModern) {
    if (!isSessionId(sessionId)) throw new RefusalError(REFUSALS.sessionNotFound);
    // Await nothing else here. Middleware in front may start to read the body in this turn of the event loop.
    if (isLarge(req) && !(await endpoint.execution.access.maySendMuch(principal, sessionId))) {
      throw new RefusalError(REFUSALS.sessionNotFound);
    }
  }
  const { maxBodyBytes, limits } = endpoint.options;
  const isHandshake = sessionId === undefined && !isModern && limits.handshakeBytes < maxBodyBytes;
  const maxBytes = isHandshake ? limits.handshakeBytes : maxBodyBytes;
  const tooLarge = isHandshake ? handshakeTooLarge(maxBytes) : bodyTooLarge(maxBytes);
  const share = endpoint.shared.bodies.share(principal);
  try {
    await read({ maxBytes, tooLarge, limits, share, timeouts: endpoint.shared.bodyTimeouts });
  } finally {
    share.release();
  }
}

/** True if the body may be large. A compressed or chunked body can have any length. */
function isLarge({ headers }: Request): boolean {
  const isDeclared = headers['content-encoding'] === undefined;
  return !(isDeclared && Number(headers['content-length']) <= SMALL_BODY_BYTES);
}
