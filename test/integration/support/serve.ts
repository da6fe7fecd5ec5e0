import { once } from 'node:events';
import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { RequestHandler } from 'express';
import express from 'express';
import express4 from 'express4';
import { onTestFinished } from 'vitest';
import type { Anynode, AnynodeOptions, Backplane } from '../../../src/index.js';
import { anynode, memoryBackplane, redisBackplane, serverOptionsFor } from '../../../src/index.js';
import { RawClient, type RawClientOptions } from '../../support/mcp-http.js';
import { addressOf } from '../../support/without-port.js';
import { hasRedis, redisUrl, uniquePrefix } from '../../support/redis-fixture.js';
import { scriptedServer, type Tools } from './scripted-server.js';

/** Listens on a free loopback port until the test is over; resolves with the endpoint's URL. */
export async function listen(app: RequestListener, options: ServerOptions = {}): Promise<string> {
  const server = createServer(options, app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

/** One place where sessions are stored; each call of the inner function gives a node its own access to it. */
export type OpenStore = () => () => Backplane;

const overMemory: OpenStore = () => {
  const shared = memoryBackplane();
  return () => shared;
};

const overRedis: OpenStore = () => {
  const prefix = uniquePrefix();
  return () => redisBackplane({ redis: redisUrl(), prefix });
};

/** Redis is left out where the run has none (`npm run test:unit`). */
export const STORES: [string, OpenStore][] = hasRedis()
  ? [
      ['memory', overMemory],
      ['Redis', overRedis],
    ]
  : [['memory', overMemory]];

/** How a node is mounted. */
export interface Mount {
  /**
   * `none`: straight on a server of Node's own. `fetch`: `mcp.fetch`, on a server that makes requests of the Fetch standard.
   * `direct`: `mcp.fetch`, which clients of this process call without a port.
   */
  express?: 4 | 5 | 'none' | 'fetch' | 'direct';
  /** Its server makes requests as the app's: `serverOptionsFor`. */
  made?: boolean;
  as?: 'use' | 'all';
  /** Middleware in front, such as a body parser. */
  before?: RequestHandler[];
  trustProxy?: unknown;
}

export type NodeOptions = Partial<AnynodeOptions> & { tools?: Tools; mount?: Mount };

export interface TestNode {
  mcp: Anynode;
  url: string;
  app: express.Express;
  /** What it has warned of, and errors. */
  logged: string[];
  /** What it has logged as information. */
  informed: string[];
}

/** Starts a node, ready to serve, and closes it when the test is over. */
export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const { tools, mount = {}, ...given } = options;
  const logged: string[] = [];
  const informed: string[] = [];
  const log = (text: string): void => void logged.push(text);
  const mcp = anynode({
    server: () => scriptedServer(tools),
    logger: { info: (text) => void informed.push(text), warn: log, error: log },
    ...given,
  });
  const app = mounted(mcp, mount);
  const made = mount.made === true ? serverOptionsFor(app) : {};
  const url = await served(mcp, mount, app, made);
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  await mcp.ready();
  return { mcp, url, app, logged, informed };
}

/** With `OVER=fetch` and `OVER=direct`, nodes are served by `mcp.fetch`, unless a test says how to mount its node. */
const OVER = process.env.OVER as 'fetch' | 'direct' | undefined;

async function served(
  mcp: Anynode,
  { express: given, as, before, made, trustProxy }: Mount,
  app: express.Express,
  options: ServerOptions,
): Promise<string> {
  const isPlain = [as, before, made, trustProxy].every((each) => each === undefined);
  switch (given ?? (isPlain ? OVER : undefined)) {
    case 'none':
      return listen(mcp.listener, options);
    case 'fetch':
      return listen(fetchListener(mcp));
    case 'direct': {
      const { url, remove } = addressOf((request, more) =>
        mcp.fetch(request, { clientAddress: '192.0.2.7', ...more }),
      );
      onTestFinished(remove);
      return url;
    }
    default:
      return listen(app, options);
  }
}

/** Serves `mcp.fetch` at `/mcp`, with the server of Hono. */
function fetchListener({ fetch }: Pick<Anynode, 'fetch'>): RequestListener {
  const listener = getRequestListener(
    (request, env) => {
      if (new URL(request.url).pathname !== '/mcp') return new Response(null, { status: 404 });
      const clientAddress = env.incoming.socket.remoteAddress;
      return fetch(request, { clientAddress });
    },
    { overrideGlobalObjects: false },
  );
  return (req, res) => void listener(req, res);
}

export function mounted(handler: RequestHandler, mount: Mount = {}): express.Express {
  const { express: major = 5, as = 'use', before = [], trustProxy } = mount;
  const app = major === 4 ? express4() : express();
  if (trustProxy !== undefined) app.set('trust proxy', trustProxy);
  app[as]('/mcp', ...before, handler);
  return app;
}

/** A client whose connections end with the test. */
export function rawClient(options?: RawClientOptions): RawClient {
  const client = new RawClient(options);
  onTestFinished(() => client.close());
  return client;
}

export type ClientOptions = RawClientOptions & { capabilities?: Record<string, unknown> };

/** A node, and a client with a session there. */
export async function startSession(
  options?: NodeOptions,
  client: ClientOptions = {},
): Promise<TestNode & { client: RawClient; sessionId: string }> {
  const node = await startNode(options);
  return { ...node, ...(await openSession(node.url, client)) };
}

export async function openSession(
  url: string,
  { capabilities = {}, ...options }: ClientOptions = {},
): Promise<{ client: RawClient; sessionId: string }> {
  const client = rawClient(options);
  await client.initialize(url, { capabilities });
  return { client, sessionId: client.sessionId ?? '' };
}
