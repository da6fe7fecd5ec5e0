/** A node whose server uses all of the protocol. Environment: REDIS_URL, PREFIX, OPTIONS (JSON, of the middleware). */
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import {
  ListRootsResultSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../../../demo/rig/child.js';
import { anynode } from '../../../src/index.js';
import type { AnynodeOptions, AuthInfo } from '../../../src/index.js';

const aborted: unknown[] = [];
let built = 0;
/** The servers of this node, for what a server says by itself. */
const servers = new Map<string, McpServer>();

const text = (value: unknown) => ({
  content: [
    { type: 'text' as const, text: typeof value === 'string' ? value : JSON.stringify(value) },
  ],
});

function buildServer(sessionId: string): McpServer {
  built += 1;
  const capabilities = { logging: {}, resources: { subscribe: true, listChanged: true } };
  const server = new McpServer({ name: 'lessons', version: '1.0.0' }, { capabilities });
  const subscribed = new Set<string>();
  server.server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
  server.registerTool('echo', { inputSchema: { value: z.string() } }, ({ value }) => text(value));
  server.registerTool('subscriptions', {}, () => text([...subscribed]));
  server.registerTool('elicit', {}, async (extra) => {
    const requestedSchema = {
      type: 'object' as const,
      properties: { name: { type: 'string' as const } },
    };
    const options = { relatedRequestId: extra.requestId };
    return text(await server.server.elicitInput({ message: 'name?', requestedSchema }, options));
  });
  server.registerTool('sample', {}, async () => {
    const result = await server.server.createMessage({ messages: [], maxTokens: 1 });
    return text(result.content);
  });
  server.registerTool('roots', {}, async (extra) =>
    text(await extra.sendRequest({ method: 'roots/list' }, ListRootsResultSchema)),
  );
  server.registerTool('progressed', {}, async (extra) => {
    const seen: number[] = [];
    const options = {
      relatedRequestId: extra.requestId,
      onprogress: ({ progress }: { progress: number }) => void seen.push(progress),
    };
    await server.server.createMessage({ messages: [], maxTokens: 1 }, options);
    return text(seen);
  });
  server.registerTool(
    'count',
    { inputSchema: { steps: z.number(), ms: z.number() } },
    async ({ steps, ms }, extra) => {
      extra.signal.addEventListener('abort', () => aborted.push(extra.requestId));
      for (let n = 1; n <= steps && !extra.signal.aborted; n += 1) {
        await pause(ms, undefined, { signal: extra.signal });
        await extra.sendNotification({
          method: 'notifications/message',
          params: { level: 'info', data: n },
        });
      }
      return text(`counted to ${steps}`);
    },
  );
  server.registerTool(
    'log',
    { inputSchema: { level: z.enum(['debug', 'error']) } },
    async ({ level }, extra) => {
      await server.server.sendLoggingMessage({ level, data: level }, extra.sessionId);
      return text('logged');
    },
  );
  servers.set(sessionId, server);
  return server;
}

const app = express();
app.use((req, _res, next) => {
  const subject = req.headers['x-subject'];
  if (typeof subject === 'string') {
    const token = String(req.headers['x-token'] ?? 'token');
    const auth: AuthInfo = {
      token,
      clientId: 'app',
      scopes: [],
      extra: { sub: subject, iss: 'us' },
    };
    Object.assign(req, { auth });
  }
  next();
});
const mcp = anynode({
  server: ({ session }) => buildServer(session.id),
  redis: process.env.REDIS_URL,
  prefix: process.env.PREFIX,
  retryMs: 50,
  ...(JSON.parse(process.env.OPTIONS ?? '{}') as Partial<AnynodeOptions>),
});
app.use('/mcp', mcp);
const http = app.listen(0, '127.0.0.1', () => {
  void mcp.ready().then(() => {
    serveParent({
      port: (http.address() as AddressInfo).port,
      nodeId: mcp.nodeId,
      methods: {
        built: () => built,
        aborted: () => aborted,
        health: () => mcp.health(),
        notify: ({ sessionId, data }: { sessionId: string; data: unknown }) =>
          mcp
            .session(sessionId)
            .notify({ method: 'notifications/message', params: { level: 'info', data } }),
        toolsChanged: () => mcp.notify.toolsChanged(),
        resourceUpdated: ({ uri }: { uri: string }) => mcp.notify.resourceUpdated(uri),
        /** The server of this node asks by itself, outside of any call. */
        sampleAlone: async ({ sessionId }: { sessionId: string }) => {
          const server = servers.get(sessionId);
          return (await server?.server.createMessage({ messages: [], maxTokens: 1 }))?.content;
        },
      },
    });
  });
});
