import { McpServer, type RequestStateCodec, type ServerEvent } from '@modelcontextprotocol/server';
import { registerAskingTools } from './asking-tools.js';
import { registerContentTools } from './content-tools.js';
import { registerPrompts } from './prompts.js';
import { registerResources } from './resources.js';
import { registerRuleTools } from './rule-tools.js';

/** What outlives a request, of which each has a server of its own. */
export interface Surroundings {
  /** Tells whoever listens. */
  publish: (event: ServerEvent) => void;
  /** Any node may get what another one has sealed. */
  requestState: RequestStateCodec;
}

/**
 * What the official conformance suite asks of a server of revision 2026-07-28, which serves one request. The names are
 * the suite's.
 */
export function buildEverythingServer(surroundings: Surroundings): McpServer {
  const server = new McpServer(
    { name: 'everything', version: '2.0.0', title: 'Everything' },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
      },
      requestState: {
        verify: (state, context) => surroundings.requestState.verify(state, context),
      },
    },
  );
  registerContentTools(server);
  registerRuleTools(server, surroundings);
  registerAskingTools(server, surroundings);
  registerResources(server);
  registerPrompts(server);
  return server;
}
