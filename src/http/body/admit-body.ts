import type { Request } from 'express';
import type { BodyRules } from './request-body.js';
import { SMALL_BODY_BYTES } from './body-budget.js';
import type { Endpoint } from '../endpoint.js';
import { isSessionId } from '../headers.js';
import { bodyTooLarge, handshakeTooLarge, RefusalError, REFUSALS } from '../response/refusals.js';

/** Who sends a POST, and for which session. */
export interface Sender {
  sessionId: string | undefined;
  principal: string;
  /** The request may be of 2026-07-28, which has no sessions, and cannot be of a session. */
  isModern?: boolean;
}

/**
 * Calls `read` with the rules for the body of a POST, which the headers decide: before any of it is read, parsed or stored. A
 * large body is read only for a session that is the caller's. A body without a session is a handshake, which is small. What
 * the body takes of the budget is given back when `read` is through.
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
    // Nothing else is awaited here: something in front may listen to the body in the same turn.
    if (isLarge(req) && !(await endpoint.execution.callers.maySendMuch(principal, sessionId))) {
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

/** A body that is compressed, or that comes in chunks, can be of any length. */
function isLarge({ headers }: Request): boolean {
  const isDeclared = headers['content-encoding'] === undefined;
  return !(isDeclared && Number(headers['content-length']) <= SMALL_BODY_BYTES);
}
