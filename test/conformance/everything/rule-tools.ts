import {
  fromJsonSchema,
  inputRequired,
  type CallToolResult,
  type McpServer,
  type ServerEvent,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Surroundings } from './server.js';

const text = (line: string): CallToolResult => ({ content: [{ type: 'text', text: line }] });
const nothing = z.object({});

/** Tools by which the suite sees rules of the revision kept: headers, capabilities, logging, `subscriptions/listen`. */
export function registerRuleTools(
  server: McpServer,
  { publish }: Pick<Surroundings, 'publish'>,
): void {
  const region = { type: 'string', 'x-mcp-header': 'Region' } as const;
  server.registerTool(
    'test_x_mcp_header',
    {
      description: 'Has an argument that is in a header, too',
      inputSchema: fromJsonSchema<{ region?: string }>({ type: 'object', properties: { region } }),
    },
    (given) => text(`region: ${given.region ?? 'none'}`),
  );

  server.registerTool(
    'test_missing_capability',
    { description: 'Needs a client that samples', inputSchema: nothing },
    (_, { mcpReq }) => {
      if (mcpReq.inputResponses?.['answer'] !== undefined) return text('sampled');
      const messages = [
        { role: 'user' as const, content: { type: 'text' as const, text: 'Say something' } },
      ];
      return inputRequired({
        inputRequests: { answer: inputRequired.createMessage({ messages, maxTokens: 10 }) },
      });
    },
  );

  server.registerTool(
    'test_streaming_elicitation',
    {
      description: 'Asks nothing: no request may be on the stream of its call',
      inputSchema: nothing,
    },
    () => text('nothing was asked'),
  );

  server.registerTool(
    'test_logging_tool',
    { description: 'Logs, which is shown to callers that gave a level', inputSchema: nothing },
    async (_, { mcpReq }) => {
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- it alone heeds the level; what is to replace it is none of the protocol's
      await mcpReq.log('info', 'a line');
      return text('logged');
    },
  );

  const trigger = (name: string, event: ServerEvent): void => {
    server.registerTool(name, { description: `Says ${event.kind}`, inputSchema: nothing }, () => {
      publish(event);
      return text('published');
    });
  };
  trigger('test_trigger_tool_change', { kind: 'tools_list_changed' });
  trigger('test_trigger_prompt_change', { kind: 'prompts_list_changed' });
}
