import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createMcpHandler, isLegacyRequest, McpServer } from '@modelcontextprotocol/server';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AnynodeOptions } from '../../src/index.js';
import { anynode } from '../../src/index.js';
import { request } from '../support/mcp-http.js';
import { rawClient, startNode, STORES } from './support/serve.js';
import { scriptedServer } from './support/scripted-server.js';

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'modern', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};
const HEADERS = { 'mcp-protocol-version': '2026-07-28' };

const modern: AnynodeOptions['modern'] = ({ bus }) => ({
  handler: createMcpHandler(
    () =>
      new McpServer(
        { name: 'modern', version: '1' },
        { capabilities: { tools: { listChanged: true } } },
      ),
    { bus, legacy: 'reject' },
  ),
  isLegacyRequest,
});

describe.each(STORES)('both eras on one mount, over %s', (_, openStore) => {
  it('clients of 2025 get a session, those of 2026-07-28 the handler; `notify` on one node reaches both on another', async () => {
    const store = openStore();
    const a = await startNode({ backplane: store(), modern });
    const b = await startNode({ backplane: store(), modern });
    const old = rawClient();
    const born = await old.initialize(a.url);
    expect(born.result).toMatchObject({ serverInfo: { name: 'scripted' } });
    const listening = await old.listen(a.url);

    const client = rawClient();
    const discover = request(1, 'server/discover', { _meta: META });
    const headers = { ...HEADERS, 'mcp-method': 'server/discover' };
    const answer = await client.post(b.url, discover, { headers });
    expect(answer.expect(200).json().result).toMatchObject({
      supportedVersions: expect.arrayContaining(['2026-07-28']) as string[],
    });
    expect(answer.headers['mcp-session-id']).toBeUndefined();
    expect(answer.node).toBe(b.mcp.nodeId);

    const listen = request(2, 'subscriptions/listen', {
      ...{ _meta: META, notifications: { toolsListChanged: true } },
    });
    const stream = (
      await client.post(a.url, listen, {
        headers: { ...HEADERS, 'mcp-method': 'subscriptions/listen' },
      })
    ).sse;
    await stream.next();
    expect(await b.mcp.notify.toolsChanged()).toBe(1);
    const method = 'notifications/tools/list_changed';
    expect((await stream.next()).message).toMatchObject({ method });
    expect((await listening.next()).message).toMatchObject({ method });
    await a.mcp.close({ drainMs: 0 });
    await stream.ended;
    expect([...a.logged, ...b.logged]).toEqual([]);
  });

  it('the v2 client is served as one that knows of no sessions falls back to one', async () => {
    const node = await startNode({ backplane: openStore()() });
    const client = new Client({ name: 'v2', version: '1' });
    onTestFinished(() => client.close());
    await client.connect(new StreamableHTTPClientTransport(new URL(node.url)));
    expect(client.getServerVersion()).toMatchObject({ name: 'scripted' });
  });
});

it('throws for what is not of the v2 SDK', () => {
  const given = { server: () => scriptedServer(), modern: () => ({}) as never };
  expect(() => anynode(given)).toThrow('`modern` has to return');
});
