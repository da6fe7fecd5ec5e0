import {
  acceptedContent,
  completable,
  inputRequired,
  type ContentBlock,
  type GetPromptResult,
  type InputRequiredResult,
  type McpServer,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { BLUE_PNG } from '../../../demo/everything/samples.js';
import { form } from './asking-tools.js';

const user = (...contents: ContentBlock[]): GetPromptResult => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});

/** Prompts without and with arguments, with a resource, with an image, and one that asks first. */
export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A line of text' }, () =>
    user({ type: 'text', text: 'This is a simple prompt for testing.' }),
  );

  const words = ['paris', 'park', 'party', 'test', 'testing'];
  const word = () =>
    completable(z.string(), (begun) => words.filter((each) => each.startsWith(begun)));
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A line of text with two words of yours',
      argsSchema: z.object({ arg1: word(), arg2: word() }),
    },
    ({ arg1, arg2 }) =>
      user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` }),
  );

  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'A resource, its text included',
      argsSchema: z.object({ resourceUri: z.string() }),
    },
    ({ resourceUri: uri }) =>
      user(
        {
          type: 'resource',
          resource: {
            uri,
            mimeType: 'text/plain',
            text: 'Embedded resource content for testing.',
          },
        },
        { type: 'text', text: 'Please process the embedded resource above.' },
      ),
  );

  server.registerPrompt('test_prompt_with_image', { description: 'An image' }, () =>
    user(
      { type: 'image', data: BLUE_PNG, mimeType: 'image/png' },
      { type: 'text', text: 'Please analyze the image above.' },
    ),
  );

  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'Asks for its context first', argsSchema: z.object({}) },
    (_, { mcpReq }): GetPromptResult | InputRequiredResult => {
      const context = acceptedContent(mcpReq.inputResponses, 'user_context')?.['context'];
      if (typeof context === 'string') return user({ type: 'text', text: `Context: ${context}` });
      const question = form('What context should the prompt use?', 'context');
      return inputRequired({ inputRequests: { user_context: question } });
    },
  );
}
