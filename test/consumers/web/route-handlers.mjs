/* global AbortController, Request, Response -- those of Node */
/** Handlers as Next.js wants them, one for each method, on a plain server: what Node itself has for Fetch, and nothing else. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Listens on a free port, and resolves with it and with what closes the server. */
export function start(mcp) {
  // What stands in `app/mcp/route.ts`.
  const handle = (request) => mcp.fetch(request, { authInfo: authInfoOf(request) });
  const route = { GET: handle, POST: handle, DELETE: handle };

  const server = createServer(async (req, res) => {
    const { method } = req;
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    const body = method === 'POST' ? { body: Readable.toWeb(req), duplex: 'half' } : {};
    const request = new Request(`http://${req.headers.host}${req.url}`, {
      ...{ method, headers: req.headers, signal: gone.signal },
      ...body,
    });
    const response = (await route[method]?.(request)) ?? new Response(null, { status: 405 });
    res.writeHead(response.status, Object.fromEntries(response.headers));
    res.flushHeaders();
    if (response.body === null) res.end();
    else await pipeline(Readable.fromWeb(response.body), res).catch(() => undefined);
  });
  server.listen(0, '127.0.0.1');
  return once(server, 'listening').then(() => ({ port: server.address().port, server }));
}

function authInfoOf(request) {
  const [, token] = request.headers.get('authorization')?.split(' ') ?? [];
  return token && { token, clientId: 'app', scopes: [], extra: { sub: token } };
}
