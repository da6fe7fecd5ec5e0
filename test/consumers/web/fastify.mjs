/** Fastify, with `mcp.listener` for one path. In a scope of its own, Fastify leaves bodies to the node. */
import Fastify from 'fastify';

/** Listens on a free port, and resolves with it and with what closes the server. */
export async function start(mcp) {
  const app = Fastify();
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    scope.all('/mcp', (request, reply) => {
      const [, token] = request.headers.authorization?.split(' ') ?? [];
      if (token) request.raw.auth = { token, clientId: 'app', scopes: [], extra: { sub: token } };
      reply.hijack();
      mcp.listener(request.raw, reply.raw);
    });
  });
  // The routes beside it have bodies as before.
  app.post('/echo', (request) => request.body);
  await app.listen({ port: 0, host: '127.0.0.1' });
  return { port: app.server.address().port, server: app.server };
}
