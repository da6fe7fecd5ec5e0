import { McpServer } from '@modelcontextprotocol/server';
import { anynode, redisBackplane } from 'mcp-anynode';
import { z } from 'zod';

/** Returns the node, which the first request makes: `next build` loads this module, too. */
export const mcp = () => (globalThis.mcp ??= start());

function start() {
  const { REDIS_URL: redis, PREFIX: prefix } = process.env;
  const node = anynode({ server: buildServer, backplane: redisBackplane({ redis, prefix }) });
  process.once('SIGTERM', () => void node.close().then(() => process.exit()));
  return node;
}

function buildServer() {
  const server = new McpServer({ name: 'consumer', version: '1.0.0' });
  const inputSchema = z.object({ a: z.number(), b: z.number() });
  server.registerTool('add', { inputSchema }, ({ a, b }) => ({
    content: [{ type: 'text', text: String(a + b) }],
  }));
  return server;
}
