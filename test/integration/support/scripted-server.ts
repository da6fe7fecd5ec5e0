import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type {
  CallToolResult,
  ServerNotification,
  ServerRequest,
  ServerCapabilities,
} from '@modelcontextprotocol/sdk/types.js';
import {
  CallToolRequestSchema,
  ListToolsRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

export interface ToolCall {
  args: Record<string, unknown>;
  extra: RequestHandlerExtra<ServerRequest, ServerNotification>;
  server: Server;
}

/** What a tool does; its result, or the text of it. */
export type Tool = (call: ToolCall) => string | CallToolResult | Promise<string | CallToolResult>;
export type Tools = Record<string, Tool>;

const CAPABILITIES: ServerCapabilities = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  logging: {},
};

/** A server of the SDK's v1 line whose tools are functions of the test. `echo` is always there. */
export function scriptedServer(tools: Tools = {}, capabilities = CAPABILITIES): Server {
  const server = new Server({ name: 'scripted', version: '1.0.0' }, { capabilities });
  const all: Tools = { echo: ({ args }) => JSON.stringify(args), ...tools };
  if (capabilities.tools) {
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: Object.keys(all).map((name) => ({ name, inputSchema: { type: 'object' } })),
    }));
    server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
      const tool = all[params.name];
      if (tool === undefined) throw new Error(`There is no tool ${params.name}`);
      const result = await tool({ args: params.arguments ?? {}, extra, server });
      return typeof result === 'string' ? { content: [{ type: 'text', text: result }] } : result;
    });
  }
  if (capabilities.resources?.subscribe) {
    server.setRequestHandler(SubscribeRequestSchema, () => ({}));
    server.setRequestHandler(UnsubscribeRequestSchema, () => ({}));
  }
  return server;
}

/** A log message of a call, on the stream of the call. */
export function say(extra: ToolCall['extra'], data: string): Promise<void> {
  return extra.sendNotification({
    method: 'notifications/message',
    params: { level: 'info', data },
  });
}

/** A log message of no call, on the standalone stream. */
export function announce(server: Server, data: string): Promise<void> {
  return server.notification({ method: 'notifications/message', params: { level: 'info', data } });
}
