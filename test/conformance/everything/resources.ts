import { ResourceTemplate, type McpServer } from '@modelcontextprotocol/server';
import {
  IMAGE_RESOURCE,
  RESOURCE_TEMPLATE,
  TEXT_RESOURCES,
} from '../../../demo/everything/contents.js';

/** Two texts, an image and a template. */
export function registerResources(server: McpServer): void {
  for (const { name, description, text } of TEXT_RESOURCES) {
    const uri = `test://${name}`;
    server.registerResource(name, uri, { description, mimeType: 'text/plain' }, () => ({
      contents: [{ uri, mimeType: 'text/plain', text }],
    }));
  }

  const { name, uri, config, read } = IMAGE_RESOURCE;
  server.registerResource(name, uri, config, read);

  server.registerResource(
    RESOURCE_TEMPLATE.name,
    new ResourceTemplate(RESOURCE_TEMPLATE.uri, { list: undefined }),
    RESOURCE_TEMPLATE.config,
    RESOURCE_TEMPLATE.read,
  );
}
