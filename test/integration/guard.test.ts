/** DNS rebinding: a web page whose name points to a loopback address must not reach a server there. */
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import type { Request, Response } from 'express';
import { describe, expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { exchange } from './support/exchange.js';
import { listen, startNode, type NodeOptions } from './support/serve.js';

const BODY = JSON.stringify(
  request(1, 'initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  }),
);

async function open(url: string, headers: Record<string, string>) {
  const lines = {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    ...headers,
  };
  const answer = await exchange('POST', url, Object.entries(lines), BODY);
  const { status, stream, body } = answer;
  const text = stream === undefined ? body : '';
  answer.close();
  return { status, ...(text.startsWith('{') && { error: answer.json().error }) };
}

const forbidden = (message: string) => ({ status: 403, error: { code: -32000, message } });
const HOSTS = [
  ...['localhost', 'localhost:1', '127.0.0.1', '127.0.0.1:3000', '[::1]', '[::1]:80', 'LOCALHOST'],
  ...['evil.example', 'evil.example:80', 'localhost.evil.example', 'localhost@evil.example'],
  ...['10.0.0.1', '0.0.0.0', 'user:pass@localhost', 'a b', '[', ':80', '127.1', '127.0.0.1.', ''],
];

describe('a node without options, on a loopback connection', () => {
  it.each(HOSTS)("answers Host %j as the SDK's createMcpExpressApp does", async (host) => {
    const app = createMcpExpressApp();
    app.post('/mcp', (_req: Request, res: Response) => void res.status(200).end());
    const [theirs, ours] = [await listen(app), (await startNode()).url];
    expect(await open(ours, { host })).toEqual(await open(theirs, { host }));
  });

  it('accepts any Origin', async () => {
    const { url } = await startNode();
    expect(await open(url, { origin: 'https://evil.example' })).toEqual({ status: 200 });
  });

  it.each([true, 1, 'loopback', ['127.0.0.1']])(
    'leaves the check of the host to the proxy with `trust proxy` %j',
    async (trustProxy) => {
      const { url } = await startNode({ mount: { trustProxy } });
      expect(await open(url, { host: 'mcp.example.com' })).toEqual({ status: 200 });
    },
  );

  it('checks the host of every method before anything else', async () => {
    const { url } = await startNode();
    for (const method of ['GET', 'POST', 'DELETE', 'PUT']) {
      expect((await exchange(method, url, [['host', 'evil.example']])).status).toBe(403);
    }
  });
});

type Case = [NodeOptions, Record<string, string>, object];
const ok = { status: 200 };
const cases: Case[] = [
  [{ allowedHosts: ['mcp.example.com'] }, { host: 'mcp.example.com' }, ok],
  [{ allowedHosts: ['mcp.example.com'] }, { host: 'mcp.example.com:8443' }, ok],
  [{ allowedHosts: ['mcp.example.com'] }, { host: 'MCP.example.com' }, ok],
  [{ allowedHosts: ['mcp.example.com:1'] }, { host: 'mcp.example.com:1' }, ok],
  [
    { allowedHosts: ['mcp.example.com:1'] },
    { host: 'mcp.example.com:2' },
    forbidden('Invalid Host header: mcp.example.com:2'),
  ],
  [
    { allowedHosts: ['mcp.example.com'] },
    { host: 'localhost' },
    forbidden('Invalid Host header: localhost'),
  ],
  [
    { allowedHosts: ['mcp.example.com'], mount: { trustProxy: true } },
    { host: 'evil.example', 'x-forwarded-host': 'mcp.example.com' },
    forbidden('Invalid Host header: evil.example'),
  ],
  [{ allowedHosts: [] }, { host: 'localhost' }, forbidden('Invalid Host header: localhost')],
  [{ allowedOrigins: ['https://a.example'] }, { origin: 'https://a.example' }, ok],
  [{ allowedOrigins: ['https://a.example'] }, {}, ok],
  ...['https://a.example.evil', 'http://a.example', 'null', 'https://a.example:444'].map(
    (origin): Case => [
      { allowedOrigins: ['https://a.example'] },
      { origin },
      forbidden(`Invalid Origin header: ${origin}`),
    ],
  ),
];

it.each(cases)('options %j and headers %j: %j', async (options, headers, expected) => {
  const { url } = await startNode(options);
  expect(await open(url, headers)).toEqual(expected);
});
