import type { Request } from 'express';
import type { Limits } from '../options/limits.js';
import { ErrorCode } from '../protocol/json/jsonrpc.js';
import type { AuthInfo, Logger } from '../options/public-types.js';
import { identityOf } from './identity.js';
import { RefusalError } from './response/refusals.js';

const ANONYMOUS = 'anonymous';

export function authInfoOf(req: Request): AuthInfo | undefined {
  return (req as Request & { auth?: AuthInfo }).auth;
}

/** Thrown if the request names a caller in a form that this library does not know. */
class UnreadableIdentity extends RefusalError {
  constructor(
    /** The place and the names of its fields. For the log, not for the client. */
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
 * Returns the caller as an authorization middleware has left it on the request: place, issuer, subject and client. It never
 * contains bytes of the token, which change with every refresh. Throws an {@link UnreadableIdentity} if the identity cannot
 * be read, so that no caller is taken for another one.
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

/** How many forms of unreadable identities are logged, each of them once. */
const MOST_LOGGED = 100;

/**
 * Returns a function that reads the caller of a request, in the backplane's form. An identity that cannot be read is logged,
 * once for each form.
 */
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

/**
 * Converts a principal to the backplane's form. All anonymous callers have the same one, so they share their sessions with
 * each other and with no other caller.
 */
function storedPrincipal(principal: string | undefined): string {
  const given: unknown = principal;
  if (given !== undefined && typeof given !== 'string') {
    // Converted to a text, all promises would be the same principal.
    throw new TypeError('mcp-anynode: `principal` has to return a string or undefined');
  }
  return principal === undefined ? ANONYMOUS : `as:${principal}`;
}

/** How many sessions a caller may have. All anonymous callers share one number. */
export function sessionsFor(stored: string, limits: Limits): { sessions: number; pending: number } {
  return stored === ANONYMOUS
    ? { sessions: limits.anonymousSessions, pending: limits.anonymousPending }
    : { sessions: limits.sessionsPerPrincipal, pending: limits.pendingPerPrincipal };
}
