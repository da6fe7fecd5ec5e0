import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express, { type Express } from 'express';
import { anynode, type Anynode, type AnynodeOptions } from '../src/index.js';
import { buildEverythingServer } from './everything/server.js';

export interface EmbeddedNode {
  mcp: Anynode;
  app: Express;
  port: number;
  /** Of its MCP endpoint. */
  url: string;
  stop: () => Promise<void>;
}

/** A node with the everything server, in this process: an Express app of its own on a port of its own. */
export async function startEmbeddedNode(
  options: Partial<AnynodeOptions> = {},
  port = 0,
): Promise<EmbeddedNode> {
  const app = express();
  const mcp = anynode({ server: buildEverythingServer, ...options });
  app.use('/mcp', mcp);
  const server = app.listen(port, '127.0.0.1');
  await once(server, 'listening');
  await mcp.ready();
  const address = server.address() as AddressInfo;
  return {
    mcp,
    app,
    port: address.port,
    url: `http://127.0.0.1:${address.port}/mcp`,
    stop: async () => {
      await mcp.close();
      server.close();
      server.closeAllConnections();
    },
  };
}
