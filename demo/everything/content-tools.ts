import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult, ContentBlock } from '@modelcontextprotocol/sdk/types.js';
import { BLUE_PNG, SHORT_WAV } from './samples.js';

const image: ContentBlock = { type: 'image', data: BLUE_PNG, mimeType: 'image/png' };
const audio: ContentBlock = { type: 'audio', data: SHORT_WAV, mimeType: 'audio/wav' };

/** Tools that answer at once: one for each kind of content, and one that fails. */
export function registerContentTools(server: McpServer): void {
  const fixed = (name: string, description: string, ...content: ContentBlock[]): void => {
    server.registerTool(
      name,
      { description, annotations: { readOnlyHint: true } },
      (): CallToolResult => ({ content }),
    );
  };

  fixed('test_simple_text', 'Answers with a line of text', {
    type: 'text',
    text: 'This is a simple text response for testing.',
  });
  fixed('test_image_content', 'Answers with an image', image);
  fixed('test_audio_content', 'Answers with a sound', audio);
  fixed('test_embedded_resource', 'Answers with a resource, its text included', {
    type: 'resource',
    resource: {
      uri: 'test://embedded-resource',
      mimeType: 'text/plain',
      text: 'This is an embedded resource content.',
    },
  });
  fixed(
    'test_multiple_content_types',
    'Answers with text, an image and a resource together',
    { type: 'text', text: 'Multiple content types test:' },
    image,
    {
      type: 'resource',
      resource: {
        uri: 'test://mixed-content-resource',
        mimeType: 'application/json',
        text: JSON.stringify({ test: 'data', value: 123 }),
      },
    },
  );

  server.registerTool(
    'test_error_handling',
    { description: 'Throws; the caller gets a result that is marked as an error' },
    () => {
      throw new Error('This tool intentionally returns an error for testing');
    },
  );
}
