import { ResourceTemplate, type McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { IMAGE_RESOURCE, RESOURCE_TEMPLATE, TEXT_RESOURCES } from './contents.js';

/** A text, an image, one to subscribe to, and a template. */
export function registerResources(server: McpServer): void {
  for (const { name, description, text } of TEXT_RESOURCES) {
    const uri = `test://${name}`;
    server.registerResource(name, uri, { description, mimeType: 'text/plain' }, () => ({
      contents: [{ uri, mimeType: 'text/plain', text }],
    }));
  }

  const { name, uri, config, read } = IMAGE_RESOURCE;
  server.registerResource(name, uri, config, read);

  const complete = {
    id: (begun: string) => ['123', '124', '200'].filter((id) => id.startsWith(begun)),
  };
  server.registerResource(
    RESOURCE_TEMPLATE.name,
    new ResourceTemplate(RESOURCE_TEMPLATE.uri, { list: undefined, complete }),
    RESOURCE_TEMPLATE.config,
    RESOURCE_TEMPLATE.read,
  );
}
