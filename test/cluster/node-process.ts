import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server';
import express, { type RequestHandler } from 'express';
import { Cluster, Redis } from 'ioredis';
import { z } from 'zod';
import { serveParent } from '../rig/child.js';
import { anynode, type Anynode, type AnynodeOptions, type ServerContext } from '../../src/index.js';
import { aesGcmCodec, type AesGcmOptions } from '../../src/codec/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import type { ServerEventBus } from '../../src/sdk-stores/index.js';
import { MASTER_NAME } from '../support/redis-sentinels.js';
import { Happenings } from './support/happenings.js';
import { sdkStoreMethods } from './support/sdk-store-methods.js';
import { buildModernServer, buildServer, type Kind, type TestServer } from './support/servers.js';
import { elicitation, held, logNotification, sampling } from './support/tools.js';

/**
 * A process of a test cluster. It serves nothing until the test mounts a node: `mount` makes one with options of its
 * own under `/<mount>`, so that tests which need other options need no other processes.
 */

/** Options travel as JSON, so only what is JSON of them. */
export interface MountOptions extends Omit<
  AnynodeOptions,
  | 'server'
  | 'redis'
  | 'backplane'
  | 'sessionIdGenerator'
  | 'principal'
  | 'codec'
  | 'logger'
  | 'modern'
> {
  redis: string;
  /** The URL is that of one node of a Redis Cluster. */
  redisCluster?: boolean;
  /** Ports of sentinels, to be asked for the master instead of the URL. */
  sentinels?: number[];
  prefix: string;
  /** For `aesGcmCodec`. Keys are texts. */
  encrypted?: AesGcmOptions;
  /** What the factory builds; 'McpServer v1'. */
  server?: Kind;
  /** `express.json()` in front. */
  parsed?: boolean;
  /** The server says "welcome" and its node, on its own account, when its client is initialized. */
  welcomes?: boolean;
  /** How long the factory takes. */
  buildMs?: number;
  /** Clients of 2026-07-28 are served on the same mount, by servers of the v2 line with the same tools. */
  modern?: boolean;
}

export interface Built {
  session: string;
  rehydrated: boolean;
  clientId: string | undefined;
  clientName: string;
  capabilities: Record<string, unknown>;
  state: string;
  protocolVersion: string;
}

interface Mount {
  mcp: Anynode;
  handlers: RequestHandler[];
  happenings: Happenings;
  built: Built[];
  /** The latest server of each session. */
  servers: Map<string, TestServer>;
  complaints: string[];
}

const mounts = new Map<string, Mount>();

async function mount({ name, options }: { name: string; options: MountOptions }): Promise<string> {
  const {
    server: kind = 'McpServer v1',
    parsed,
    welcomes,
    buildMs,
    modern,
    encrypted,
    ...more
  } = options;
  const { redis: url, redisCluster, sentinels, ...rest } = more;
  const happenings = new Happenings();
  const built: Built[] = [];
  const servers = new Map<string, TestServer>();
  const complaints: string[] = [];

  const factory = async ({ session, rehydrated, authInfo }: ServerContext) => {
    built.push({
      session: session.id,
      rehydrated,
      clientId: authInfo?.clientId,
      clientName: session.clientInfo.name,
      capabilities: session.clientCapabilities,
      state: session.state,
      protocolVersion: session.protocolVersion,
    });
    happenings.happened('built');
    if (buildMs !== undefined) await new Promise((resolve) => setTimeout(resolve, buildMs));
    const server = buildServer(kind, { nodeId: () => mcp.nodeId, happenings });
    server.bare.oninitialized = () => {
      happenings.happened('initialized');
      if (welcomes) void server.bare.notification(logNotification(`welcome from ${mcp.nodeId}`));
    };
    servers.set(session.id, server);
    return server.server;
  };
  const handlerOn = (bus: ServerEventBus) =>
    createMcpHandler(() => buildModernServer({ nodeId: () => mcp.nodeId, happenings }), {
      ...{ bus, legacy: 'reject' as const, keepAliveMs: 1_000 },
    });
  const complain = (text: string): void => void complaints.push(text);
  const logger = { warn: complain, error: complain };
  // Its settings are taken over; the client itself is not used.
  const source = redisCluster
    ? new Cluster([url], { lazyConnect: true })
    : sentinels &&
      new Redis({
        sentinels: sentinels.map((port) => ({ host: '127.0.0.1', port })),
        name: MASTER_NAME,
        lazyConnect: true,
      });
  const codec = encrypted && aesGcmCodec(encrypted);
  const mcp: Anynode = anynode({
    ...{ ...rest, codec, redis: source ?? url, server: factory, logger },
    ...(modern && { modern: ({ bus }) => ({ handler: handlerOn(bus), isLegacyRequest }) }),
  });
  const handlers = [...(parsed ? [express.json()] : []), legacySse(mcp), mcp];
  mounts.set(name, { mcp, handlers, happenings, built, servers, complaints });
  await mcp.ready();
  return mcp.nodeId;
}

function mounted(name: string): Mount {
  const found = mounts.get(name);
  if (found === undefined) throw new Error(`Nothing is mounted as ${name}`);
  return found;
}

/** Of the session's replica on this node; it has to have one. */
function serverOf(name: string, session: string): TestServer['bare'] {
  const found = mounted(name).servers.get(session);
  if (found === undefined) throw new Error(`No server was built for ${session} on this node`);
  return found.bare;
}

function heldCall(key: string) {
  const found = held.get(key);
  if (found === undefined) throw new Error(`No call is held as ${key}`);
  return found;
}

interface OfSession {
  mount: string;
  sessionId: string;
}

const methods = {
  ...sdkStoreMethods((name) => mounted(name).mcp),
  mount,
  /** Closes the node, and returns what it has complained of. */
  async unmount({ mount: name, drainMs = 0 }: { mount: string; drainMs?: number }) {
    const { mcp, complaints } = mounted(name);
    await mcp.close({ drainMs });
    mounts.delete(name);
    return complaints;
  },
  /** Without unmounting: it can be asked afterwards. */
  close: ({ mount: name, drainMs = 0 }: { mount: string; drainMs?: number }) =>
    mounted(name).mcp.close({ drainMs }),
  health: ({ mount: name }: { mount: string }) => mounted(name).mcp.health(),
  memory: () => {
    global.gc?.();
    return process.memoryUsage();
  },

  built: ({ mount: name }: { mount: string }) => mounted(name).built,
  complaints: ({ mount: name }: { mount: string }) => mounted(name).complaints,
  count: ({ mount: name, of }: { mount: string; of: string }) => mounted(name).happenings.count(of),
  until: ({ mount: name, of, times }: { mount: string; of: string; times?: number }) =>
    mounted(name).happenings.until(of, times),

  say: async ({ key, data }: { key: string; data: unknown }) =>
    heldCall(key).call.notify(logNotification(data)),
  release: ({ key, text = 'released' }: { key: string; text?: string }) =>
    heldCall(key).release(text),

  /** Notifications of the session's server here that belong to no call: `<name> <number>`, one after the other. */
  async push({ mount: name, sessionId, from, count = 1, as, bytes = 0 }: PushParams) {
    const server = serverOf(name, sessionId);
    for (let at = from; at < from + count; at++) {
      await server.notification(logNotification(`${as} ${at}${'.'.repeat(bytes)}`));
    }
  },
  /** Asks the client outside of any call. */
  elicitAlone: ({ mount: name, sessionId, message }: OfSession & { message: string }) =>
    serverOf(name, sessionId).elicitInput(elicitation(message)),
  sampleAlone: ({ mount: name, sessionId, text }: OfSession & { text: string }) =>
    serverOf(name, sessionId).createMessage(sampling(text)),

  toolsChanged: ({ mount: name }: { mount: string }) => mounted(name).mcp.notify.toolsChanged(),
  promptsChanged: ({ mount: name }: { mount: string }) => mounted(name).mcp.notify.promptsChanged(),
  resourcesChanged: ({ mount: name }: { mount: string }) =>
    mounted(name).mcp.notify.resourcesChanged(),
  resourceUpdated: ({ mount: name, uri }: { mount: string; uri: string }) =>
    mounted(name).mcp.notify.resourceUpdated(uri),

  notify: ({ mount: name, sessionId, data }: OfSession & { data: unknown }) =>
    mounted(name).mcp.session(sessionId).notify(logNotification(data)),
  request: ({ mount: name, sessionId, method, params, timeout }: RequestParams) =>
    mounted(name)
      .mcp.session(sessionId)
      .request({ method, ...(params && { params }) }, z.unknown(), timeout ? { timeout } : {}),
  /** Adds one to the session's own state. */
  increment: ({ mount: name, sessionId }: OfSession) =>
    mounted(name)
      .mcp.session(sessionId)
      .state.update((value) => Number(value ?? 0) + 1),
  state: ({ mount: name, sessionId }: OfSession) =>
    mounted(name).mcp.session(sessionId).state.get(),

  session: ({ mount: name, sessionId }: OfSession) => mounted(name).mcp.sessions.get(sessionId),
  async sessions({ mount: name }: { mount: string }) {
    const found: string[] = [];
    for await (const { id } of mounted(name).mcp.sessions.list()) found.push(id);
    return found;
  },
  async events({ mount: name, sessionId }: OfSession) {
    const found: unknown[] = [];
    for await (const event of mounted(name).mcp.sessions.events(sessionId)) found.push(event);
    return found;
  },
  remove: ({ mount: name, sessionId }: OfSession) => mounted(name).mcp.sessions.delete(sessionId),
};

export interface PushParams extends OfSession {
  from: number;
  count?: number;
  as: string;
  /** Filling, in bytes. */
  bytes?: number;
}

interface RequestParams extends OfSession {
  method: string;
  params?: Record<string, unknown>;
  timeout?: number;
}

export type Methods = typeof methods;

const app = express();
/** Stands for an authorization middleware: `Bearer <client>/<anything>`, where the rest changes with every refresh. */
app.use((req, _res, next) => {
  const token = req.headers.authorization?.replace(/^Bearer /, '');
  if (token !== undefined) {
    const clientId = token.split('/')[0] ?? '';
    const extra = { iss: 'https://issuer.example', sub: clientId };
    Object.assign(req, { auth: { token, clientId, scopes: [], extra } });
  }
  next();
});
app.use('/:mount', (req, res, next) => {
  const found = mounts.get(req.params.mount);
  if (found === undefined) {
    res.status(502).end('nothing is mounted here');
    return;
  }
  const [first, ...rest] = found.handlers;
  const runNext = (error?: unknown): void => {
    const handler = rest.shift();
    if (error !== undefined || handler === undefined) next(error);
    else void handler(req, res, runNext);
  };
  if (first !== undefined) void first(req, res, runNext);
});

const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
serveParent({ port: (server.address() as AddressInfo).port, methods });
