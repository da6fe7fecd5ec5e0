import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { Server as ServerV1 } from '@modelcontextprotocol/sdk/server/index.js';
import {
  CallToolRequestSchema,
  ListToolsRequestSchema,
  RootsListChangedNotificationSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { McpServer as McpServerV2 } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { ServerLike } from '../../../src/index.js';
import type { Happenings } from './happenings.js';
import { annotationsOfTool, tools, type BareServer, type Call } from './tools.js';

/** One replica of the test server. */
export interface TestServer {
  bare: BareServer & { oninitialized?: (() => void) | undefined };
  /** What the factory returns. */
  server: ServerLike;
}

export interface Surroundings {
  nodeId: () => string;
  happenings: Happenings;
}

export type Kind = 'McpServer v1' | 'Server v1' | 'McpServer v2';

const info = { name: 'test', version: '1.0.0' };
const capabilities = {
  logging: {},
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
};
/** Any arguments: what a tool makes of them is its own affair. */
const inputSchema = z.looseObject({});

type Around = Pick<Call, 'server' | 'nodeId' | 'subscriptions' | 'happenings'>;

export function buildServer(kind: Kind, surroundings: Surroundings): TestServer {
  return builders[kind](surroundings);
}

const builders: Record<Kind, (surroundings: Surroundings) => TestServer> = {
  'McpServer v1'(surroundings) {
    const server = new McpServerV1(info, { capabilities });
    const bare = server.server as unknown as TestServer['bare'];
    const around = subscribingV1(server.server, bare, surroundings);
    for (const name of Object.keys(tools)) {
      server.registerTool(
        name,
        { inputSchema, annotations: annotationsOfTool(name) },
        async (args, extra) => run(name, args, callV1(around(), extra)),
      );
    }
    return { bare, server };
  },

  'Server v1'(surroundings) {
    // The high-level server is for most; this one stays in the SDK for those who need more.

    const server = new ServerV1(info, { capabilities });
    const bare = server as unknown as TestServer['bare'];
    const around = subscribingV1(server, bare, surroundings);
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: Object.keys(tools).map((name) => ({
        ...{ name, inputSchema: { type: 'object' as const } },
        annotations: annotationsOfTool(name),
      })),
    }));
    server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) =>
      run(params.name, params.arguments ?? {}, callV1(around(), extra)),
    );
    return { bare, server };
  },

  'McpServer v2'(surroundings) {
    const server = buildModernServer(surroundings);
    return { bare: server.server, server };
  },
};

/** Of the v2 line: for a session, or for one request of 2026-07-28. */
export function buildModernServer({ nodeId, happenings }: Surroundings): McpServerV2 {
  const server = new McpServerV2(info, { capabilities });
  const bare = server.server as unknown as TestServer['bare'];
  const subscriptions = new Set<string>();
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    subscriptions.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    subscriptions.delete(params.uri);
    return {};
  });
  server.server.setNotificationHandler('notifications/roots/list_changed', () => {
    happenings.happened('roots changed');
  });
  for (const name of Object.keys(tools)) {
    server.registerTool(
      name,
      { inputSchema, annotations: annotationsOfTool(name) },
      async (args, { sessionId = '', mcpReq, http }) =>
        run(name, args, {
          ...{ server: bare, nodeId: nodeId(), subscriptions, happenings, sessionId },
          requestId: mcpReq.id,
          progressToken: mcpReq._meta?.progressToken,
          clientId: http?.authInfo?.clientId,
          signal: mcpReq.signal,
          notify: (notification) => mcpReq.notify(notification),
        }),
    );
  }
  return server;
}

/** Gives a server of the v1 line its subscriptions; what it returns, its calls have in common. */
function subscribingV1(
  server: ServerV1,
  bare: BareServer,
  { nodeId, happenings }: Surroundings,
): () => Around {
  const subscriptions = new Set<string>();
  server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscriptions.add(params.uri);
    return {};
  });
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscriptions.delete(params.uri);
    return {};
  });
  server.setNotificationHandler(RootsListChangedNotificationSchema, () => {
    happenings.happened('roots changed');
  });
  return () => ({ server: bare, nodeId: nodeId(), subscriptions, happenings });
}

/** The second argument of a handler in the v1 line, as far as it is used. */
interface ExtraV1 {
  sessionId?: string | undefined;
  requestId: string | number;
  _meta?: { progressToken?: string | number | undefined } | undefined;
  authInfo?: { clientId: string } | undefined;
  signal: AbortSignal;
  sendNotification: (notification: never) => Promise<void>;
}

function callV1(around: Around, extra: ExtraV1): Call {
  return {
    ...around,
    sessionId: extra.sessionId ?? '',
    requestId: extra.requestId,
    progressToken: extra._meta?.progressToken,
    clientId: extra.authInfo?.clientId,
    signal: extra.signal,
    notify: (notification) => extra.sendNotification(notification as never),
  };
}

async function run(name: string, args: Record<string, unknown>, call: Call) {
  const result = await tools[name]?.(args, call);
  const text = typeof result === 'string' ? result : JSON.stringify(result);
  return { content: [{ type: 'text' as const, text }] };
}
