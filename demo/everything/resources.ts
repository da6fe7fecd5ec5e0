import { ResourceTemplate, type McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { BLUE_PNG } from './samples.js';

/** A text, an image, one to subscribe to, and a template. */
export function registerResources(server: McpServer): void {
  const text = (name: string, uri: string, description: string, content: string): void => {
    server.registerResource(name, uri, { description, mimeType: 'text/plain' }, () => ({
      contents: [{ uri, mimeType: 'text/plain', text: content }],
    }));
  };

  text(
    'static-text',
    'test://static-text',
    'A text that never changes',
    'This is the content of the static text resource.',
  );
  text(
    'watched-resource',
    'test://watched-resource',
    'A text to subscribe to; the tool `touch` says that it changed',
    'Watched resource content',
  );

  server.registerResource(
    'static-binary',
    'test://static-binary',
    { description: 'An image that never changes', mimeType: 'image/png' },
    (uri) => ({ contents: [{ uri: uri.href, mimeType: 'image/png', blob: BLUE_PNG }] }),
  );

  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', {
      list: undefined,
      complete: { id: (begun) => ['123', '124', '200'].filter((id) => id.startsWith(begun)) },
    }),
    { description: 'Any id has data here', mimeType: 'application/json' },
    (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  );
}
