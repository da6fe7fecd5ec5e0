import {
  acceptedContent,
  completable,
  inputRequired,
  type GetPromptResult,
  type InputRequiredResult,
  type McpServer,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { type Content, PROMPTS, wordsFrom } from '../../../demo/everything/contents.js';
import { form } from './asking-tools.js';

const user = (contents: Content[]): GetPromptResult => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});

/** Prompts without and with arguments, with a resource, with an image, and one that asks first. */
export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A line of text' }, () =>
    user(PROMPTS.simple()),
  );

  const word = () => completable(z.string(), wordsFrom);
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A line of text with two words of yours',
      argsSchema: z.object({ arg1: word(), arg2: word() }),
    },
    (words) => user(PROMPTS.withArguments(words)),
  );

  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'A resource, its text included',
      argsSchema: z.object({ resourceUri: z.string() }),
    },
    (given) => user(PROMPTS.withResource(given)),
  );

  server.registerPrompt('test_prompt_with_image', { description: 'An image' }, () =>
    user(PROMPTS.withImage()),
  );

  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'Asks for its context first', argsSchema: z.object({}) },
    (_, { mcpReq }): GetPromptResult | InputRequiredResult => {
      const context = acceptedContent(mcpReq.inputResponses, 'user_context')?.['context'];
      if (typeof context === 'string') return user([{ type: 'text', text: `Context: ${context}` }]);
      const question = form('What context should the prompt use?', 'context');
      return inputRequired({ inputRequests: { user_context: question } });
    },
  );
}
