import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cluster, Redis } from 'ioredis';
import { anynode } from '../node.js';
import type { Telemetry } from '../options/node-telemetry.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import { serverOptionsFor } from '../http/server-options.js';
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

/** Writes a line of the log to stderr, because stdout is for the command's result. */
const note = (text: string): void => void process.stderr.write(`${plain(text)}\n`);
const LOGGER = { info: note, warn: note, error: note };

/** Returns a digest of the header's value. The value may be a secret that a proxy passes on, so it is never stored. */
function digestOf(caller: string | undefined): string | undefined {
  if (caller === undefined) return undefined;
  return createHash('sha256').update(caller).digest('base64url');
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
  const { default: express } = await import('express').catch((error: unknown) => {
    throw new CommandError(
      EXIT.failed,
      'this command needs the package express; install it with: npm install express',
      {
        cause: error,
      },
    );
  });
  const mcp = orUsage(() =>
    anynode({
      ...{ upstream, upstreamTimeoutMs, upstreamCheck, upstreamQuery, redis, prefix, codec },
      ...{ allowedHosts, allowedOrigins, affinity, logger: LOGGER, telemetry: options.telemetry },
      ...(options.audit !== undefined && { audit: { sink: options.audit } }),
      ...(principalHeader !== undefined && {
        principal: (req) => digestOf(req.get(principalHeader)),
      }),
    }),
  );
  const app = express();
  app.disable('x-powered-by');
  if (options.trustProxy === true) app.set('trust proxy', true);
  app.get('/ready', (_req, res) => {
    const health = mcp.health();
    res.status(health.status === 'ready' ? 200 : 503).json(health);
  });
  app.get('/live', (_req, res) => {
    res.sendStatus(200);
  });
  app.use(options.path, mcp);
  const server = createServer(serverOptionsFor(app), app).listen(options.port, options.host);
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
