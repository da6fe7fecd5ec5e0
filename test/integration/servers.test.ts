/** Servers as users write them, each with a client of 2025, and with every second step on the other node. */
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { McpServer as McpServerV2 } from '@modelcontextprotocol/server';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ServerLike } from '../../src/index.js';
import { hasMethod, request } from '../support/mcp-http.js';
import { announce, scriptedServer, say } from './support/scripted-server.js';
import { openSession, startNode, STORES } from './support/serve.js';

const text = (line: string) => ({ content: [{ type: 'text' as const, text: line }] });
const SCHEMA = { type: 'object' as const, properties: { color: { type: 'string' as const } } };
const ASK = { message: 'Which color?', requestedSchema: SCHEMA };
const OPTIONS = { capabilities: { logging: {}, tools: { listChanged: true } } };
const log = (data: string) => ({ level: 'info' as const, data });

function mcpServerV1(): ServerLike {
  const server = new McpServerV1({ name: 'v1', version: '1.0.0' }, OPTIONS);
  server.registerTool('add', { inputSchema: { a: z.number(), b: z.number() } }, ({ a, b }) =>
    text(String(a + b)),
  );
  server.registerTool('color', {}, async (extra) => {
    await extra.sendNotification({ method: 'notifications/message', params: log('asking') });
    const relatedRequestId = extra.requestId;
    const { action, content } = await server.server.elicitInput(ASK, { relatedRequestId });
    await server.sendLoggingMessage(log('below'), extra.sessionId);
    await server.sendLoggingMessage({ ...log('above'), level: 'error' }, extra.sessionId);
    server.sendToolListChanged();
    return text(`${action} ${String(content?.color)}`);
  });
  return server;
}

/* eslint-disable @typescript-eslint/no-deprecated -- that is how clients of 2025 are asked, and told */
function mcpServerV2(): ServerLike {
  const server = new McpServerV2({ name: 'v2', version: '1.0.0' }, OPTIONS);
  const inputSchema = z.object({ a: z.number(), b: z.number() });
  server.registerTool('add', { inputSchema }, ({ a, b }) => text(String(a + b)));
  server.registerTool('color', {}, async (context) => {
    const relatedRequestId = context.mcpReq.id;
    await context.mcpReq.notify({ method: 'notifications/message', params: log('asking') });
    const { action, content } = await context.mcpReq.elicitInput(ASK, { relatedRequestId });
    await server.sendLoggingMessage(log('below'), context.sessionId);
    await server.sendLoggingMessage({ ...log('above'), level: 'error' }, context.sessionId);
    server.sendToolListChanged();
    return text(`${action} ${String(content?.color)}`);
  });
  return server;
}
/* eslint-enable @typescript-eslint/no-deprecated */

function lowLevelServer(): ServerLike {
  return scriptedServer({
    add: ({ args }) => String(Number(args.a) + Number(args.b)),
    color: async ({ extra, server }) => {
      await say(extra, 'asking');
      const relatedRequestId = extra.requestId;
      const { action, content } = await server.elicitInput(ASK, { relatedRequestId });
      await server.sendLoggingMessage(log('below'), extra.sessionId);
      await server.sendLoggingMessage({ ...log('above'), level: 'error' }, extra.sessionId);
      await server.sendToolListChanged();
      return `${action} ${String(content?.color)}`;
    },
  });
}

describe.each([
  ['McpServer of v1', mcpServerV1],
  ['Server of v1', lowLevelServer],
  ['McpServer of v2', mcpServerV2],
])('%s', (_, server) => {
  describe.each(STORES)('over %s', (_, openStore) => {
    it.each(['2025-03-26', '2025-06-18', '2025-11-25'])(
      '%s: calls, a question within a call, its answer and the log level work on alternating nodes',
      async (protocolVersion) => {
        const store = openStore();
        const a = await startNode({ backplane: store(), server });
        const b = await startNode({ backplane: store(), server });
        const { client } = await openSession(a.url, {
          protocolVersion,
          capabilities: { elicitation: {} },
        });
        expect(client.protocolVersion).toBe(protocolVersion);
        const tools = await client.request(b.url, 'tools/list');
        expect(tools.result?.tools).toEqual(
          expect.arrayContaining([expect.objectContaining({ name: 'add' }) as unknown]),
        );
        const sum = { name: 'add', arguments: { a: 1, b: 2 } };
        for (const { url } of [a, b]) {
          const { result } = await client.request(url, 'tools/call', sum);
          expect(result).toMatchObject({ content: [{ text: '3' }] });
        }

        await client.request(a.url, 'logging/setLevel', { level: 'error' });
        const listener = await client.listen(a.url);
        const { sse } = await client.post(b.url, request('c', 'tools/call', { name: 'color' }));
        const { message } = await sse.next(hasMethod('elicitation/create'));
        expect(message?.params).toMatchObject({ message: 'Which color?' });
        const content = { color: 'blue' };
        await client.respond(a.url, message?.id ?? '', { action: 'accept', content });
        expect((await sse.next(({ message }) => message?.id === 'c')).message).toMatchObject({
          result: { content: [{ text: 'accept blue' }] },
        });
        // The other node holds the standalone stream. Messages below the log level do not arrive.
        await listener.next(hasMethod('notifications/tools/list_changed'));
        const data = listener.messages.flatMap(({ params }) => params?.data ?? []);
        expect(data).toEqual(['above']);
      },
    );
  });

  it('a question within a call goes to the GET stream in JSON mode', async () => {
    const { url } = await startNode({ server, responseMode: 'json' });
    const { client } = await openSession(url, { capabilities: { elicitation: {} } });
    const listener = await client.listen(url);
    const answer = client.request(url, 'tools/call', { name: 'color' });
    const { message } = await listener.next(hasMethod('elicitation/create'));
    await client.respond(url, message?.id ?? '', { action: 'decline' });
    expect(await answer).toMatchObject({ result: { content: [{ text: 'decline undefined' }] } });
    expect(listener.messages[0]).toMatchObject({ params: { data: 'asking' } });
  });
});

it('a message that a server sends on `initialized`, before any GET, arrives', async () => {
  const { url } = await startNode({
    server: () => {
      const server = scriptedServer();
      server.oninitialized = () => void announce(server, 'welcome');
      return server;
    },
  });
  const { client } = await openSession(url);
  const listener = await client.listen(url);
  expect((await listener.next()).message?.params).toMatchObject({ data: 'welcome' });
});
