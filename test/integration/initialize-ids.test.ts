/**
 * The SDK takes some request ids for none, so the node uses another id towards the server. The answer has the client's
 * id.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { request } from '../support/mcp-http.js';
import { exchange } from './support/exchange.js';
import { startNode, type NodeOptions } from './support/serve.js';
import { PARAMS } from './support/side-by-side.js';

const LINES = Object.entries({
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
});

/** Starts a server that answers `initialize` with this status. */
async function refusing(status: number): Promise<string> {
  const server = createServer((req, res) => {
    let text = '';
    req.on('data', (piece) => (text += String(piece)));
    req.on('end', () => {
      const { id } = JSON.parse(text || '{}') as { id?: unknown };
      const error = { code: -32000, message: 'no' };
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ jsonrpc: '2.0', id, error }));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

const behind = async (status: number): Promise<NodeOptions> => ({
  server: undefined,
  upstream: await refusing(status),
});

const ways: [string, () => NodeOptions | Promise<NodeOptions>][] = [
  ['it succeeds', () => ({})],
  ['it succeeds, as JSON', () => ({ responseMode: 'json' })],
  ['the factory fails', () => ({ server: () => Promise.reject(new Error('no server')) })],
  ['the server behind refuses with 400', () => behind(400)],
  ['the server behind refuses with 403', () => behind(403)],
  ['the server behind fails', () => behind(500)],
  ['the server behind answers with an error', () => behind(200)],
  ['there is no server behind', () => ({ server: undefined, upstream: 'http://127.0.0.1:1/mcp' })],
];

it.each(
  ways.flatMap(([name, options]) =>
    [0, '', 'anynode:0', 'anynode-replay:1', 7].map((id) => [id, name, options] as const),
  ),
)('`initialize` with id %j is answered with this id if %s', async (id, _, options) => {
  const { url } = await startNode(await options());
  const body = JSON.stringify(request(id, 'initialize', PARAMS));
  const answer = await exchange('POST', url, LINES, body);
  if (answer.stream !== undefined) {
    await answer.stream.untilEnded();
    expect(answer.stream.messages.map((message) => message.id)).toEqual([id]);
  } else {
    expect(JSON.parse(answer.body)).toMatchObject({ id });
  }
});
