/** Hono, with `mcp.fetch` as one of its routes. */
import { serve } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { Hono } from 'hono';
import { compress } from 'hono/compress';

/** Listens on a free port, and resolves with it and with what closes the server. */
export function start(mcp) {
  const app = new Hono();
  // It compresses what is no event stream.
  app.use(compress());
  app.all('/mcp', (c) =>
    mcp.fetch(c.req.raw, {
      authInfo: authInfoOf(c.req.header('authorization')),
      clientAddress: getConnInfo(c).remote.address,
    }),
  );
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
      resolve({ port, server }),
    );
  });
}

function authInfoOf(header) {
  const [, token] = header?.split(' ') ?? [];
  return token && { token, clientId: 'app', scopes: [], extra: { sub: token } };
}
