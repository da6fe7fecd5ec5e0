/** Settings of the operator, and of what is in front, prevail over what a client sends to a server behind HTTP. */
import type { RequestHandler } from 'express';
import { expect, it } from 'vitest';
import type { Exchange } from './support/puppet.js';
import { answerJson, puppet, resultOf } from './support/puppet.js';
import type { NodeOptions } from './support/serve.js';
import { listen, openSession, startNode } from './support/serve.js';

const CALL = { name: 'any', arguments: {} };

/** Returns all that the server sees of a session with one call. `query` and `headers` are the client's. */
async function seenBy(
  client: { query?: string; headers?: Record<string, string> },
  { at = '', ...node }: NodeOptions & { at?: string } = {},
): Promise<Exchange[]> {
  const made = puppet({ onCall: (res, { message }) => answerJson(res, resultOf(message?.id)) });
  const upstream = new URL(`${await listen(made.app)}${at}`);
  const started = await startNode({ server: undefined, upstream, ...node });
  const url = `${started.url}${client.query ?? ''}`;
  const session = await openSession(url, { headers: client.headers ?? {} });
  const { result } = await session.client.request(url, 'tools/call', CALL);
  expect(result).toBeDefined();
  return made.seen;
}

it('a client cannot repeat a parameter of the URL at `upstream`', async () => {
  const seen = await seenBy({ query: '?tenant=other&page=2' }, { at: '?tenant=acme' });
  expect(new Set(seen.map(({ url }) => url))).toEqual(new Set(['/mcp?tenant=acme&page=2']));
});

it('the query of a client is not passed on with `upstreamQuery: false`', async () => {
  const seen = await seenBy({ query: '?page=2' }, { at: '?tenant=acme', upstreamQuery: false });
  expect(new Set(seen.map(({ url }) => url))).toEqual(new Set(['/mcp?tenant=acme']));
});

// Bug: these headers were dropped as those of the client's connection, and the server took the caller for an anonymous
// one.
it('a client cannot remove headers that identify it by naming them in `Connection`', async () => {
  const front: RequestHandler = (req, _res, next) => {
    req.headers['x-user'] = 'alice';
    next();
  };
  const headers = {
    connection: 'keep-alive, x-user, authorization, x-forwarded-for, x-other',
    authorization: 'Bearer good',
    'x-forwarded-for': '10.0.0.1',
    'x-other': '1',
    x_user: 'mallory',
    mcp_session_id: 'mine',
  };
  const seen = await seenBy({ headers }, { mount: { before: [front] } });
  for (const exchange of seen) {
    expect(exchange.headers).toMatchObject({
      'x-user': 'alice',
      ...{ authorization: 'Bearer good', 'x-forwarded-for': '10.0.0.1', 'x-other': '1' },
    });
    expect(exchange.headers).not.toHaveProperty('x_user');
    expect(exchange.headers).not.toHaveProperty('mcp_session_id');
  }
});

it('a client cannot replace the credentials of the URL at `upstream`', async () => {
  const made = puppet({ onCall: (res, { message }) => answerJson(res, resultOf(message?.id)) });
  const upstream = new URL(await listen(made.app));
  Object.assign(upstream, { username: 'node', password: 'secret' });
  const { url } = await startNode({ server: undefined, upstream });
  const { client } = await openSession(url, { headers: { authorization: 'Bearer other' } });
  await client.request(url, 'tools/call', CALL);
  const expected = `Basic ${Buffer.from('node:secret').toString('base64')}`;
  expect(new Set(made.seen.map(({ headers }) => headers.authorization))).toEqual(
    new Set([expected]),
  );
});
