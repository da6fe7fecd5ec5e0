import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createMcpHandler, isLegacyRequest, McpServer } from '@modelcontextprotocol/server';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Backplane, JoinedBackplane } from '../../src/backplane/backplane.js';
import type { AnynodeOptions } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import type { ServerEventBus } from '../../src/sdk-stores/index.js';
import { MODERN, postModern, subscribe } from '../support/modern-http.js';
import { rawClient, startNode, STORES } from './support/serve.js';
import { scriptedServer } from './support/scripted-server.js';

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
  it('gives clients of 2025 a session and clients of 2026-07-28 the handler, and `notify` on one node reaches both on another', async () => {
    const store = openStore();
    const a = await startNode({ backplane: store(), modern });
    const b = await startNode({ backplane: store(), modern });
    const old = rawClient();
    const born = await old.initialize(a.url);
    expect(born.result).toMatchObject({ serverInfo: { name: 'scripted' } });
    const listening = await old.listen(a.url);

    const client = rawClient();
    const answer = await postModern(client, b.url, 1, 'server/discover');
    expect(answer.expect(200).json().result).toMatchObject({
      supportedVersions: expect.arrayContaining([MODERN]) as string[],
    });
    expect(answer.headers['mcp-session-id']).toBeUndefined();
    expect(answer.node).toBe(b.mcp.nodeId);

    const stream = await subscribe(client, a.url);
    expect(await b.mcp.notify.toolsChanged()).toBe(1);
    const method = 'notifications/tools/list_changed';
    expect((await stream.next()).message).toMatchObject({ method });
    expect((await listening.next()).message).toMatchObject({ method });
    await a.mcp.close({ drainMs: 0 });
    await stream.ended;
    expect([...a.logged, ...b.logged]).toEqual([]);
  });

  it.each(['legacy', 'auto'] as const)(
    'the v2 client (%s) gets a session from a mount without that era',
    async (mode) => {
      const node = await startNode({ backplane: openStore()() });
      const client = new Client({ name: 'v2', version: '1' }, { versionNegotiation: { mode } });
      onTestFinished(() => client.close());
      await client.connect(new StreamableHTTPClientTransport(new URL(node.url)));
      expect(client.getServerVersion()).toMatchObject({ name: 'scripted' });
      expect(client.getNegotiatedProtocolVersion()).toBe('2025-11-25');
    },
  );
});

it('anynode() throws for a handler that is not of the v2 SDK', () => {
  const given = { server: () => scriptedServer(), modern: () => ({}) as never };
  expect(() => anynode(given)).toThrow('`modern` has to return');
});

// The node had joined before it called `modern`. Its lease stayed in the backplane, renewed for as long as the process lived.
it.each([
  ['returns something else', () => ({}) as never],
  ['returns null', () => null as never],
  [
    'throws',
    (): never => {
      throw new TypeError('`modern` has to return');
    },
  ],
  [
    'has used the bus, and throws',
    ({ bus }: { bus: ServerEventBus }): never => {
      bus.subscribe(() => undefined);
      throw new TypeError('`modern` has to return');
    },
  ],
])('leaves no node in the backplane if `modern` %s', async (_, modern) => {
  const store = memoryBackplane();
  const joined: JoinedBackplane[] = [];
  const backplane: Backplane = {
    join(options) {
      const node = store.join(options);
      joined.push(node);
      return node;
    },
  };
  const given = { backplane, modern, server: () => scriptedServer() };
  expect(() => anynode(given)).toThrow('`modern` has to return');
  for (const node of joined) expect(node.trouble()).toBe('closed');
  await Promise.all(joined.map((node) => node.leave()));
});
