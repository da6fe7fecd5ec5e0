import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import { anynode } from '../../src/index.js';

// With a limit below the socket's own buffer, the stream waited for an event that never came, and stood still.
it('a buffer of one byte slows a stream down and does not stop it', async () => {
  const node = anynode({
    maxBufferedBytes: 1,
    server: () => {
      const server = new McpServer({ name: 's', version: '1' }, { capabilities: { logging: {} } });
      server.registerTool('talk', {}, async ({ sendNotification }) => {
        for (let count = 0; count < 50; count += 1) {
          const params = { level: 'info' as const, data: 'x'.repeat(1000) };
          await sendNotification({ method: 'notifications/message', params });
        }
        return { content: [] };
      });
      return server;
    },
  });
  const http = express().use('/mcp', node).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const client = new Client({ name: 'c', version: '1' });
  onTestFinished(async () => {
    await client.close();
    await node.close();
    http.closeAllConnections();
    http.close();
  });
  let heard = 0;
  client.setNotificationHandler(LoggingMessageNotificationSchema, () => {
    heard += 1;
  });
  const { port } = http.address() as AddressInfo;
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)));
  await client.callTool({ name: 'talk', arguments: {} }, undefined, { timeout: 5000 });
  expect(heard).toBe(50);
});
