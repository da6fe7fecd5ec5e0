import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { guard } from '../http/guard.js';
import type { Endpoint } from '../http/endpoint.js';
import { endpoints, serving } from '../http/endpoint.js';
import { RefusalError, REFUSALS } from '../http/response/refusals.js';
import { receiveMessages } from './legacy-messages.js';
import { openConnection } from './open-legacy-session.js';

/** Options of `legacySse()`: where the HTTP+SSE transport is mounted, relative to the middleware. */
export interface LegacySseOptions {
  /** GET opens the connection here. Default `/sse`. */
  ssePath?: string;
  /** Clients POST here. The first event of the connection tells them so. Default `/messages`. */
  messagesPath?: string;
}

/**
 * The HTTP+SSE transport of revision 2024-11-05, for clients that know no other, on the sessions and the server of a
 * node: `app.use(legacySse(mcp))`. The GET may be on one node and each POST on another; all nodes have to mount it.
 *
 * Everything that the server says comes on the one connection, answers too, and that cannot be resumed: when it closes,
 * the session ends. A node that closes waits for the calls of such clients to end, within `drainMs`, and ends their
 * connections; what is still running then is not heard of. Options of the node that are about Streamable HTTP
 * (`responseMode`, `standaloneStream`, `maxStreamAgeMs`, `primingEvents`) have no effect; all others have.
 *
 * Requests to other paths are passed on. Throws a `TypeError` for anything that is not a handle of `anynode()`.
 */
export function legacySse(mcp: RequestHandler, options: LegacySseOptions = {}): RequestHandler {
  const endpoint = endpoints.get(mcp);
  if (endpoint === undefined) {
    throw new TypeError('mcp-anynode: `legacySse` needs what `anynode()` has returned');
  }
  const ssePath = pathOf(options.ssePath, 'ssePath', '/sse');
  const messagesPath = pathOf(options.messagesPath, 'messagesPath', '/messages');
  const serve = serving(endpoint, (req, res) =>
    answer(endpoint, req, res, { ssePath, messagesPath }),
  );
  return (req: Request, res: Response, next: NextFunction) => {
    if (req.path === ssePath || req.path === messagesPath) void serve(req, res, next);
    else next();
  };
}

async function answer(
  endpoint: Endpoint,
  req: Request,
  res: Response,
  { ssePath, messagesPath }: Required<LegacySseOptions>,
): Promise<void> {
  guard(req, endpoint.options);
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
