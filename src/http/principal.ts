import type { Request } from 'express';
import type { AuthInfo } from '../session/types.js';

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
  return principal === undefined ? 'anonymous' : `as:${principal}`;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
