import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { ContentBlock, GetPromptResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { BLUE_PNG } from './samples.js';

const user = (...contents: ContentBlock[]): GetPromptResult => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});

/** Prompts without and with arguments, with a resource and with an image. The arguments complete as one types. */
export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A line of text' }, () =>
    user({ type: 'text', text: 'This is a simple prompt for testing.' }),
  );

  const words = ['paris', 'park', 'party', 'test', 'testing'];
  const word = (description: string) =>
    completable(z.string().describe(description), (begun) =>
      words.filter((w) => w.startsWith(begun)),
    );
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A line of text with two words of yours',
      argsSchema: { arg1: word('The first word'), arg2: word('The second word') },
    },
    ({ arg1, arg2 }) =>
      user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` }),
  );

  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'A resource, its text included',
      argsSchema: { resourceUri: z.string().describe('Its URI') },
    },
    ({ resourceUri }) =>
      user(
        {
          type: 'resource',
          resource: {
            uri: resourceUri,
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
}
