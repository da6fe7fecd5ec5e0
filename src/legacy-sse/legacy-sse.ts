import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { guard } from '../http/guard.js';
import type { Endpoint, EndpointHandle } from '../http/endpoint.js';
import { serving } from '../http/endpoint.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { receiveMessages } from './legacy-messages.js';
import { openConnection } from './open-legacy-session.js';

/** Options of `legacySse()`: where the HTTP+SSE transport is mounted, relative to the middleware. */
export interface LegacySseOptions {
  /** The path for GET, which opens the connection. Default `/sse`. */
  ssePath?: string;
  /** The path to which clients POST. The first event of the connection names it. Default `/messages`. */
  messagesPath?: string;
}

/**
 * Serves the HTTP+SSE transport of revision 2024-11-05, for clients that know no other: `app.use(legacySse(mcp))`. It uses
 * the sessions and the server of the node `mcp`. The GET may be on one node and each POST on another. All nodes have to mount
 * it.
 *
 * All messages of the server, answers too, are shown on the client's one connection, which cannot be resumed. When this
 * connection closes, the session ends. A node that closes waits up to `drainMs` for the calls of such clients, and then ends
 * their connections. Clients do not get the answers of calls that still run. Options about Streamable HTTP (`responseMode`,
 * `standaloneStream`, `maxStreamAgeMs`, `primingEvents`) have no effect. All other options apply.
 *
 * Requests to other paths are passed on. Throws a `TypeError` if `mcp` is not a handle of `anynode()`.
 */
export function legacySse(mcp: RequestHandler, options: LegacySseOptions = {}): RequestHandler {
  const { endpoint } = mcp as Partial<EndpointHandle>;
  if (endpoint === undefined) {
    throw new TypeError('mcp-anynode: `legacySse` needs what `anynode()` has returned');
  }
  const ssePath = pathOf(options.ssePath, 'ssePath', '/sse');
  const messagesPath = pathOf(options.messagesPath, 'messagesPath', '/messages');
  return (req: Request, res: Response, next: NextFunction) => {
    if (req.path === ssePath || req.path === messagesPath) {
      serving(endpoint, () => answer(endpoint, req, res, { ssePath, messagesPath }))(
        req,
        res,
        next,
      );
    } else {
      next();
    }
  };
}

async function answer(
  endpoint: Endpoint,
  req: Request,
  res: Response,
  { ssePath, messagesPath }: Required<LegacySseOptions>,
): Promise<void> {
  guard(req, endpoint.options, endpoint.shared.logLimit);
  const { path, method } = req;
  if (path === ssePath && method === 'GET') {
    return openConnection(endpoint, req, res, messagesPath);
  }
  if (path === messagesPath && method === 'POST') return receiveMessages(endpoint, req, res);
  const allowed = [path === ssePath && 'GET', path === messagesPath && 'POST'].filter(Boolean);
  const headers = { Allow: allowed.join(', ') };
  throw new RefusalError({ ...REFUSALS.methodNotAllowed, headers });
}

function pathOf(given: unknown, name: string, otherwise: string): string {
  if (given === undefined) return otherwise;
  if (typeof given === 'string' && /^\/[^?#\s]*$/.test(given)) return given;
  throw new TypeError(`mcp-anynode: \`${name}\` has to be a path that begins with a slash`);
}
