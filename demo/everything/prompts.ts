import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { GetPromptResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Content } from './contents.js';
import { PROMPTS, wordsFrom } from './contents.js';

const user = (contents: Content[]): GetPromptResult => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});

/** Prompts without and with arguments, with a resource and with an image. The arguments complete as one types. */
export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A line of text' }, () =>
    user(PROMPTS.simple()),
  );

  const word = (description: string) => completable(z.string().describe(description), wordsFrom);
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A line of text with two words of yours',
      argsSchema: { arg1: word('The first word'), arg2: word('The second word') },
    },
    (words) => user(PROMPTS.withArguments(words)),
  );

  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'A resource, its text included',
      argsSchema: { resourceUri: z.string().describe('Its URI') },
    },
    (given) => user(PROMPTS.withResource(given)),
  );

  server.registerPrompt('test_prompt_with_image', { description: 'An image' }, () =>
    user(PROMPTS.withImage()),
  );
}
