/** srvx: a server of Node for applications that are an object with `fetch`, as Bun and Deno have them. */
import { serve } from 'srvx';

/** Listens on a free port, and resolves with it and with what closes the server. */
export async function start(mcp) {
  // What stands in `export default`.
  const app = {
    fetch: (request) =>
      mcp.fetch(request, { authInfo: authInfoOf(request), clientAddress: request.ip }),
  };
  const started = serve({
    ...app,
    port: 0,
    hostname: '127.0.0.1',
    silent: true,
    gracefulShutdown: false,
  });
  await started.ready();
  const { server } = started.node;
  return { port: server.address().port, server };
}

function authInfoOf(request) {
  const [, token] = request.headers.get('authorization')?.split(' ') ?? [];
  return token && { token, clientId: 'app', scopes: [], extra: { sub: token } };
}
