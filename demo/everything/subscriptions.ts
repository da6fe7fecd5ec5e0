import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import {
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

/**
 * Resource subscriptions as a server of one session keeps them: in a set beside its handlers.
 *
 * `touch` is the change that a subscriber is told of. The notification belongs to no call, so it arrives on the GET
 * stream; without a subscription nothing is sent.
 */
export function registerSubscriptions(server: McpServer): void {
  const subscribed = new Set<string>();

  server.server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });

  server.registerTool(
    'touch',
    { description: 'Tells a subscriber that a resource changed', inputSchema: { uri: z.string() } },
    async ({ uri }) => {
      const told = subscribed.has(uri);
      if (told) await server.server.sendResourceUpdated({ uri });
      return { content: [{ type: 'text', text: told ? `Told of ${uri}.` : 'Not subscribed.' }] };
    },
  );
}
