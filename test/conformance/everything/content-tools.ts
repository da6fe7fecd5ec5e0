import { setTimeout as delay } from 'node:timers/promises';
import { fromJsonSchema, type ContentBlock, type McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { BLUE_PNG, SHORT_WAV } from '../../../demo/everything/samples.js';

const image: ContentBlock = { type: 'image', data: BLUE_PNG, mimeType: 'image/png' };
const audio: ContentBlock = { type: 'audio', data: SHORT_WAV, mimeType: 'audio/wav' };

/** What `tools/list` is to show, keyword for keyword. */
const contact = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** Tools that answer: one for each kind of content, one that fails, one that reports progress. */
export function registerContentTools(server: McpServer): void {
  const fixed = (name: string, ...content: ContentBlock[]): void => {
    server.registerTool(name, { description: 'Answers at once' }, () => ({ content }));
  };
  fixed('test_simple_text', {
    type: 'text',
    text: 'This is a simple text response for testing.',
  });
  fixed('test_image_content', image);
  fixed('test_audio_content', audio);
  fixed('test_embedded_resource', {
    type: 'resource',
    resource: {
      uri: 'test://embedded-resource',
      mimeType: 'text/plain',
      text: 'This is an embedded resource content.',
    },
  });
  fixed(
    'test_multiple_content_types',
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
  server.registerTool('test_error_handling', { description: 'Throws' }, () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Takes a contact', inputSchema: fromJsonSchema(contact) },
    (given) => ({ content: [{ type: 'text', text: `Contact: ${JSON.stringify(given)}` }] }),
  );
  server.registerTool(
    'test_tool_with_progress',
    {
      description: 'Reports 0, 50 and 100 per cent, if it was asked for',
      inputSchema: z.object({}),
    },
    async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
        await mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress, total: 100, message: `${progress} of 100` },
        });
        await delay(20);
      }
      return { content: [{ type: 'text', text: String(progressToken) }] };
    },
  );
}
