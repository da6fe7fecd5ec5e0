import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  createRequestStateCodec,
  InMemoryServerEventBus,
  isLegacyRequest,
  localhostAllowedHostnames,
  validateHostHeader,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import express from 'express';
import { bare as plain } from '../../demo/bare.js';
import { buildEverythingServer as buildOldServer } from '../../demo/everything/server.js';
import { serveParent } from '../rig/child.js';
import { anynode } from '../../src/index.js';
import { buildEverythingServer } from './everything/server.js';

/**
 * A server of revision 2026-07-28: with REDIS_URL a node that serves both eras on one mount, without it the SDK's own
 * handler and nothing else. KEY seals what a client carries from one request to the next. MOUNT=handler: sessions are
 * those of the plain SDK transport behind the middleware.
 */
const { REDIS_URL, KEY = '', MOUNT } = process.env;
const requestState = createRequestStateCodec({ key: KEY });

const handlerOn = (bus: ServerEventBus) =>
  createMcpHandler(
    () => buildEverythingServer({ publish: (event) => bus.publish(event), requestState }),
    { bus, legacy: 'reject' },
  );

const old =
  MOUNT === 'handler'
    ? { handler: plain({ server: buildOldServer, name: 'behind', eventStore: true, retryMs: 100 }) }
    : { server: buildOldServer, retryMs: 100 };

const app = express();
const mcp =
  REDIS_URL === undefined
    ? undefined
    : anynode({
        ...old,
        redis: REDIS_URL,
        modern: ({ bus }) => ({ handler: handlerOn(bus), isLegacyRequest }),
      });
if (mcp !== undefined) {
  app.use('/mcp', mcp);
} else {
  const handler = toNodeHandler(handlerOn(new InMemoryServerEventBus()));
  app.use('/mcp', (req, res) => {
    // The handler leaves that to whatever is in front of it.
    if (validateHostHeader(req.headers.host, localhostAllowedHostnames()).ok) {
      void handler(req, res);
    } else {
      res.status(403).end();
    }
  });
}

const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
await mcp?.ready();
const { port } = server.address() as AddressInfo;
serveParent({ port, nodeId: mcp?.nodeId ?? 'bare' });
