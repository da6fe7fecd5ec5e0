import { ResourceTemplate, type McpServer } from '@modelcontextprotocol/server';
import { BLUE_PNG } from '../../../demo/everything/samples.js';

/** Two texts, an image and a template. */
export function registerResources(server: McpServer): void {
  const text = (name: string, content: string): void => {
    const uri = `test://${name}`;
    server.registerResource(name, uri, { mimeType: 'text/plain' }, () => ({
      contents: [{ uri, mimeType: 'text/plain', text: content }],
    }));
  };
  text('static-text', 'This is the content of the static text resource.');
  text('watched-resource', 'Watched resource content');

  server.registerResource(
    'static-binary',
    'test://static-binary',
    { mimeType: 'image/png' },
    (uri) => ({ contents: [{ uri: uri.href, mimeType: 'image/png', blob: BLUE_PNG }] }),
  );

  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { mimeType: 'application/json' },
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
