import type { Request } from 'express';
import type { Limits } from '../options/limits.js';
import { ErrorCode } from '../protocol/jsonrpc.js';
import type { AuthInfo, Logger } from '../options/types.js';
import { identityOf } from './identity.js';
import { RefusalError } from './response/refusals.js';

const ANONYMOUS = 'anonymous';

export function authInfoOf(req: Request): AuthInfo | undefined {
  return (req as Request & { auth?: AuthInfo }).auth;
}

/** Something on the request says who is calling, in a form that is not known. */
class UnreadableIdentity extends RefusalError {
  constructor(
    /** Says where it is, and names its fields. For the log, not for the client. */
    readonly detail: string,
  ) {
    super({
      status: 403,
      code: ErrorCode.ConnectionClosed,
      message:
        'Forbidden: The server cannot tell who is calling; its option `principal` has to say so',
    });
  }
}

/**
 * The caller, by what an authorization middleware has left on the request: the place where it was found, issuer, subject and
 * client. Never bytes of the token, which change with every refresh. Throws an {@link UnreadableIdentity} rather than take a
 * caller for another one.
 */
export function defaultPrincipal(req: Request): string | undefined {
  const found = identityOf(req);
  if (found === undefined) return undefined;
  const { place } = found;
  if ('fields' in found) {
    const { fields } = found;
    const described = fields.length === 0 ? '(without fields)' : `{ ${fields.join(', ')} }`;
    throw new UnreadableIdentity(`\`${place}\` ${described}`);
  }
  return JSON.stringify([place, found.issuer, found.subject, found.client]);
}

/** Different requests may be refused for as many reasons; each is logged once. */
const MOST_LOGGED = 100;

/** Who is calling, in the backplane's form. What cannot be read is said in the log, once for each form of it. */
export function principalReader(
  principal: (req: Request) => string | undefined,
  logger: Pick<Logger, 'error'>,
): (req: Request) => string {
  const logged = new Set<string>();
  return (req) => {
    try {
      return storedPrincipal(principal(req));
    } catch (error) {
      if (error instanceof UnreadableIdentity && logged.size < MOST_LOGGED) {
        const { detail } = error;
        if (!logged.has(detail)) {
          logger.error(
            `mcp-anynode: callers are refused: ${detail.slice(0, 500)} on the request says who is calling, and is of no known form: give the option \`principal: (req) => …\`, which returns an id of the user`,
          );
        }
        logged.add(detail);
      }
      throw error;
    }
  };
}

/** In the backplane's form, where "nobody" is somebody too: an anonymous session is for anonymous callers. */
function storedPrincipal(principal: string | undefined): string {
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
