import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { anynode, serverOptionsFor } from '../src/index.js';
import { bare } from './bare.js';
import { buildEverythingServer } from './everything/server.js';
import { serveParent } from '../test/rig/child.js';

/**
 * Runs one node: a process that serves `/mcp` and `/health`. Environment variables say how:
 *
 * - PORT is the port to listen on. With 0, the default, the system chooses a free one.
 * - HOST is the address to listen on. The default is 127.0.0.1.
 * - REDIS_URL is the Redis of the cluster. Without it the node has a backplane in memory.
 * - PREFIX is the prefix of the cluster's keys. The default is `mcp`.
 * - LEASE_MS is how long the others wait for a node that has died.
 * - BARE=1 serves the plain SDK transport instead of the middleware, under NODE_NAME.
 * - MOUNT=handler puts the plain SDK transport behind the middleware.
 * - MOUNT=listener mounts the middleware without Express.
 * - MOUNT=made makes the requests for the middleware (`serverOptionsFor`).
 * - UPSTREAM is the URL of a server elsewhere, which the middleware serves.
 *
 * @example
 *     PORT=3001 REDIS_URL=redis://127.0.0.1:6379 npx tsx demo/node.ts
 */
const {
  PORT = '0',
  HOST = '127.0.0.1',
  REDIS_URL,
  PREFIX,
  LEASE_MS,
  BARE,
  MOUNT,
  UPSTREAM,
  NODE_NAME = `pid-${process.pid}`,
} = process.env;

/** Soon enough to see a stream resumed in mid-call. */
const retryMs = 100;

const plain = () =>
  bare({ server: buildEverythingServer, name: NODE_NAME, eventStore: true, retryMs });
const mounted =
  UPSTREAM !== undefined
    ? { upstream: UPSTREAM }
    : MOUNT === 'handler'
      ? { handler: plain() }
      : { server: buildEverythingServer };

const app = express();
const mcp =
  BARE === '1'
    ? undefined
    : anynode({
        ...mounted,
        retryMs,
        ...(REDIS_URL !== undefined && { redis: REDIS_URL }),
        ...(PREFIX !== undefined && { prefix: PREFIX }),
        ...(LEASE_MS !== undefined && { leaseMs: Number(LEASE_MS) }),
      });
app.use('/mcp', mcp ?? plain());
app.get('/health', (_req, res) => {
  const health = mcp?.health() ?? { status: 'ready', nodeId: NODE_NAME };
  res.status(health.status === 'ready' ? 200 : 503).json({ name: NODE_NAME, ...health });
});

const withoutExpress: RequestListener = (req, res) => {
  if (mcp !== undefined && req.url?.split('?', 1)[0] === '/mcp') mcp.listener(req, res);
  else app(req, res);
};
const server = createServer(
  MOUNT === 'made' ? serverOptionsFor(app) : {},
  MOUNT === 'listener' ? withoutExpress : app,
).listen(Number(PORT), HOST);
await once(server, 'listening');
await mcp?.ready();
const { port } = server.address() as AddressInfo;
const nodeId = mcp?.nodeId ?? NODE_NAME;
console.log(`${NODE_NAME}: http://${HOST}:${port}/mcp (node ${nodeId})`);

serveParent({ port, nodeId });

process.once('SIGTERM', () => {
  const done = mcp?.close({ server }) ?? Promise.resolve(server.close());
  void done.then(() => process.exit(0));
});
