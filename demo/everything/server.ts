import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { registerAskingTools } from './asking-tools.js';
import { registerContentTools } from './content-tools.js';
import { registerFormTools } from './form-tools.js';
import { registerNotifyingTools } from './notifying-tools.js';
import { registerPrompts } from './prompts.js';
import { registerResources } from './resources.js';
import { registerSchemaTool } from './schema-tool.js';
import { registerStreamTools } from './stream-tools.js';
import { registerSubscriptions } from './subscriptions.js';

/**
 * One MCP server that uses every part of the protocol: what the official conformance suite asks for, and what the
 * demo's story plays.
 *
 * It is written as for a single process, and knows nothing of nodes. What keeps it right on any of them is the
 * rule that holds for every server behind a balancer: no state outside this function. Whatever a session has shaped
 * (log level, subscriptions) lives in the server object, where the protocol's own messages put it.
 */
export function buildEverythingServer(): McpServer {
  const server = new McpServer(
    { name: 'everything', version: '1.0.0', title: 'Everything' },
    {
      // Tools, prompts and completions declare themselves as they are registered; these two have no such call.
      capabilities: { logging: {}, resources: { subscribe: true, listChanged: true } },
      instructions: 'A server that answers anything, to try clients and transports with.',
    },
  );
  registerContentTools(server);
  registerNotifyingTools(server);
  registerStreamTools(server);
  registerAskingTools(server);
  registerFormTools(server);
  registerSchemaTool(server);
  registerResources(server);
  registerSubscriptions(server);
  registerPrompts(server);
  return server;
}
