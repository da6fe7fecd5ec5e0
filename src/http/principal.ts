import type { Request } from 'express';
import type { Limits } from '../limits.js';
import type { AuthInfo } from '../session/types.js';

const ANONYMOUS = 'anonymous';

export function authInfoOf(req: Request): AuthInfo | undefined {
  return (req as Request & { auth?: AuthInfo }).auth;
}

/**
 * Who is calling: client, issuer and subject of `req.auth`. Never bytes of the token: those change with every refresh.
 */
export function defaultPrincipal(req: Request): string | undefined {
  const auth = authInfoOf(req);
  if (auth === undefined) return undefined;
  const { iss, sub } = auth.extra ?? {};
  return JSON.stringify([auth.clientId, textOf(iss), textOf(sub)]);
}

/** In the backplane's form, where "nobody" is somebody too: an anonymous session is for anonymous callers. */
export function storedPrincipal(principal: string | undefined): string {
  const given: unknown = principal;
  if (given !== undefined && typeof given !== 'string') {
    // A promise, as text, would be the same for everybody.
    throw new TypeError('mcp-anynode: `principal` has to return a string or undefined');
  }
  return principal === undefined ? ANONYMOUS : `as:${principal}`;
}

/** How many sessions a caller may have; those without a name have theirs together. */
export function sessionsFor(stored: string, limits: Limits): { sessions: number; pending: number } {
  return stored === ANONYMOUS
    ? { sessions: limits.anonymousSessions, pending: limits.anonymousPending }
    : { sessions: limits.sessionsPerPrincipal, pending: limits.pendingPerPrincipal };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
