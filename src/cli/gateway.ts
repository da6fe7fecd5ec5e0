import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cluster, Redis } from 'ioredis';
import { anynode } from '../node.js';
import type { Telemetry } from '../options/node-telemetry.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import type { Anynode } from '../handle/node-handle.js';
import { headerOf, type Proxied } from '../http/incoming-request.js';
import { pathOf } from '../monitor/http/incoming.js';
import { sendJson, sendText } from '../monitor/http/reply.js';
import { pathAndQuery } from '../protocol/request-target.js';
import { CommandError, EXIT, orUsage } from './exit.js';
import { plain } from './print/text.js';

export interface GatewayOptions {
  upstream: string;
  redis: string | Redis | Cluster | undefined;
  prefix: string;
  codec: PayloadCodec | undefined;
  port: number;
  host: string;
  path: string;
  allowedHosts?: string[];
  allowedOrigins?: string[];
  trustProxy?: boolean;
  affinity: 'any' | 'owner';
  /** Milliseconds. */
  upstreamTimeout: number;
  upstreamCheck?: boolean | string;
  /** `false`: the query of a client's request is not passed on to the server. */
  upstreamQuery?: boolean;
  principalHeader?: string;
  /** Milliseconds. */
  drain: number;
  telemetry?: Telemetry | undefined;
  /** Where the audit trail goes. */
  audit?: string;
}

export interface Gateway {
  nodeId: string;
  /** The URL of the endpoint. */
  url: string;
  /** Lets running calls finish for `drain` milliseconds, and closes the node. */
  close(): Promise<void>;
}

const TEXT = 'text/plain; charset=utf-8';

/** Writes a line of the log to stderr, because stdout is for the command's result. */
const note = (text: string): void => void process.stderr.write(`${plain(text)}\n`);
const LOGGER = { info: note, warn: note, error: note };

/** Returns a digest of the header's value. The value may be a secret that a proxy passes on, so it is never stored. */
function digestOf(caller: string | undefined): string | undefined {
  if (caller === undefined) return undefined;
  return createHash('sha256').update(caller).digest('base64url');
}

/** Serves the endpoint at its path and below it, `/ready` and `/live`. */
function listenerOf(mcp: Anynode, { path, trustProxy }: GatewayOptions): RequestListener {
  const below = path.endsWith('/') ? path : `${path}/`;
  return (req, res) => {
    const asked = pathOf(pathAndQuery(req.url ?? '/'));
    const isRead = req.method === 'GET' || req.method === 'HEAD';
    if (isRead && asked === '/ready') {
      const health = mcp.health();
      sendJson(res, health.status === 'ready' ? 200 : 503, health);
    } else if (isRead && asked === '/live') {
      sendText(res, 200, TEXT, 'OK');
    } else if (asked === path || asked.startsWith(below)) {
      if (trustProxy === true) Object.assign(req, { isProxied: true } satisfies Proxied);
      mcp.listener(req, res);
    } else {
      sendText(res, 404, TEXT, 'Not Found');
    }
  };
}

/** Starts a node that serves the MCP server at a URL. It also serves `/ready` and `/live` for a load balancer. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { upstream, redis, prefix, codec, allowedHosts, allowedOrigins, affinity, drain } = options;
  const {
    upstreamTimeout: upstreamTimeoutMs,
    upstreamCheck,
    upstreamQuery,
    principalHeader,
  } = options;
  const mcp = orUsage(() =>
    anynode({
      ...{ upstream, upstreamTimeoutMs, upstreamCheck, upstreamQuery, redis, prefix, codec },
      ...{ allowedHosts, allowedOrigins, affinity, logger: LOGGER, telemetry: options.telemetry },
      ...(options.audit !== undefined && { audit: { sink: options.audit } }),
      ...(principalHeader !== undefined && {
        principal: (req) => digestOf(headerOf(req, principalHeader.toLowerCase())),
      }),
    }),
  );
  const server = createServer(listenerOf(mcp, options)).listen(options.port, options.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    await mcp.close({ drainMs: 0 });
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.failed, `cannot listen: ${reason}`, { cause: error });
  }
  const { address, family, port } = server.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  return {
    nodeId: mcp.nodeId,
    url: `http://${host}:${port}${options.path}`,
    close: () => mcp.close({ drainMs: drain, server }),
  };
}
