/** An endpoint of SvelteKit, with the functions by which its `adapter-node` turns Node's requests into those of Fetch. */
import { createServer } from 'node:http';
import { getRequest, setResponse } from '@sveltejs/kit/node';

/** Listens on a free port, and resolves with it and with what closes the server. */
export function start(mcp) {
  // What stands in `+server.ts`.
  const handle = ({ request, locals }) => mcp.fetch(request, { authInfo: locals.authInfo });
  const server = createServer(async (req, res) => {
    const [, token] = req.headers.authorization?.split(' ') ?? [];
    const authInfo = token && { token, clientId: 'app', scopes: [], extra: { sub: token } };
    const request = await getRequest({ request: req, base: `http://${req.headers.host}` });
    await setResponse(res, await handle({ request, locals: { authInfo } }));
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, server }));
  });
}
