import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const text = (line: string): CallToolResult => ({ content: [{ type: 'text', text: line }] });

/**
 * Tools that ask the client something in the middle of a call, and wait.
 *
 * `relatedRequestId` puts the question on the stream of the call. A client that cannot be asked makes the SDK
 * throw, which the caller sees as a result marked as an error.
 */
export function registerAskingTools(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    {
      description: "Has the client's model answer a prompt",
      inputSchema: { prompt: z.string() },
    },
    async ({ prompt }, extra) => {
      const answer = await server.server.createMessage(
        { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 100 },
        { relatedRequestId: extra.requestId },
      );
      const { content } = answer;
      return text(`LLM response: ${content.type === 'text' ? content.text : content.type}`);
    },
  );

  server.registerTool(
    'test_elicitation',
    {
      description: 'Asks the user for a name and an address',
      inputSchema: { message: z.string().describe('What the user is shown') },
    },
    async ({ message }, extra) => {
      const { action, content } = await server.server.elicitInput(
        {
          message,
          requestedSchema: {
            type: 'object',
            properties: {
              username: { type: 'string', description: "User's response" },
              email: { type: 'string', description: "User's email address" },
            },
            required: ['username', 'email'],
          },
        },
        { relatedRequestId: extra.requestId },
      );
      return text(`User response: action: ${action}, content: ${JSON.stringify(content ?? {})}`);
    },
  );
}
