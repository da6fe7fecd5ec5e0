/**
 * What a server that uses every part of the protocol says, as the official conformance suite has it. There are two such servers:
 * the one beside this file, of the SDK's line for sessions, and one of revision 2026-07-28 in `test/conformance`.
 */

/** Content of a result or of a prompt, in the types of both lines of the SDK. */
export type Content =
  | { type: 'text'; text: string }
  | { type: 'image' | 'audio'; data: string; mimeType: string }
  | { type: 'resource'; resource: { uri: string; mimeType: string; text: string } };

/** A PNG of 2 × 2 blue pixels, base64. */
const BLUE_PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAD0lEQVR4nGNgSDsDQhAKAB5WBMmVr7GeAAAAAElFTkSuQmCC';

/** A WAV of four samples (8 kHz, mono, 8 bit), base64. */
const SHORT_WAV = 'UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQQAAACAoIBg';

const text = (line: string): Content => ({ type: 'text', text: line });
const image: Content = { type: 'image', data: BLUE_PNG, mimeType: 'image/png' };
const audio: Content = { type: 'audio', data: SHORT_WAV, mimeType: 'audio/wav' };

interface FixedTool {
  name: string;
  description: string;
  content: Content[];
}

/** Tools that answer at once, one for each kind of content. */
export const FIXED_TOOLS: FixedTool[] = [
  {
    name: 'test_simple_text',
    description: 'Answers with a line of text',
    content: [text('This is a simple text response for testing.')],
  },
  { name: 'test_image_content', description: 'Answers with an image', content: [image] },
  { name: 'test_audio_content', description: 'Answers with a sound', content: [audio] },
  {
    name: 'test_embedded_resource',
    description: 'Answers with a resource, its text included',
    content: [
      {
        type: 'resource',
        resource: {
          uri: 'test://embedded-resource',
          mimeType: 'text/plain',
          text: 'This is an embedded resource content.',
        },
      },
    ],
  },
  {
    name: 'test_multiple_content_types',
    description: 'Answers with text, an image and a resource together',
    content: [
      text('Multiple content types test:'),
      image,
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: JSON.stringify({ test: 'data', value: 123 }),
        },
      },
    ],
  },
];

export const FAILING_TOOL = {
  name: 'test_error_handling',
  description: 'Throws; the caller gets a result that is marked as an error',
  call: (): never => {
    throw new Error('This tool intentionally returns an error for testing');
  },
};

/** A schema with what only JSON Schema 2020-12 has (SEP-1613, SEP-2106). `tools/list` is to show it keyword for keyword. */
export const CONTACT_SCHEMA = {
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

/** What each prompt says. */
export const PROMPTS = {
  simple: (): Content[] => [text('This is a simple prompt for testing.')],
  withArguments: ({ arg1, arg2 }: { arg1: string; arg2: string }): Content[] => [
    text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`),
  ],
  withResource: ({ resourceUri: uri }: { resourceUri: string }): Content[] => [
    {
      type: 'resource',
      resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
    },
    text('Please process the embedded resource above.'),
  ],
  withImage: (): Content[] => [image, text('Please analyze the image above.')],
};

/** Completes a word that is an argument of a prompt. */
export function wordsFrom(begun: string): string[] {
  return ['paris', 'park', 'party', 'test', 'testing'].filter((word) => word.startsWith(begun));
}

export const TEXT_RESOURCES = [
  {
    name: 'static-text',
    description: 'A text that never changes',
    text: 'This is the content of the static text resource.',
  },
  {
    name: 'watched-resource',
    description: 'A text to subscribe to; the tool `touch` says that it changed',
    text: 'Watched resource content',
  },
];

export const IMAGE_RESOURCE = {
  name: 'static-binary',
  uri: 'test://static-binary',
  config: { description: 'An image that never changes', mimeType: 'image/png' },
  read: ({ href: uri }: URL) => ({ contents: [{ uri, mimeType: 'image/png', blob: BLUE_PNG }] }),
};

export const RESOURCE_TEMPLATE = {
  name: 'template',
  uri: 'test://template/{id}/data',
  config: { description: 'Any id has data here', mimeType: 'application/json' },
  read: ({ href: uri }: URL, { id }: { id?: string | string[] }) => {
    const data = { id, templateTest: true, data: `Data for ID: ${String(id)}` };
    return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(data) }] };
  },
};
