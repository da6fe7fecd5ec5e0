import type { RequestListener } from 'node:http';
import type { Express } from 'express';
import type { EchoTool } from '../client/mcp.js';
import type { TelemetrySetting } from './telemetry.js';

/** The servers that are compared. Each runs in its own process (`node.ts`). */
export const CONTESTANTS = [
  'sdk',
  'sdk-memory-store',
  'sdk-redis-store',
  'memory',
  'redis',
] as const;
export type Contestant = (typeof CONTESTANTS)[number];

/**
 * The same servers in an Express app with `serverOptionsFor`, with which the HTTP server creates requests of the app's
 * class.
 */
export const MADE_FOR_EXPRESS = ['sdk-made', 'memory-made', 'redis-made'] as const;
/** The same servers on Node's HTTP server, without Express. */
export const WITHOUT_EXPRESS = ['sdk-plain', 'memory-plain', 'redis-plain'] as const;
/** The same servers again, whose tool is annotated as one that changes nothing. */
export const READ_ONLY = ['memory-read', 'redis-read'] as const;
export type Variant =
  | Contestant
  | (typeof MADE_FOR_EXPRESS)[number]
  | (typeof WITHOUT_EXPRESS)[number]
  | (typeof READ_ONLY)[number];

export const TITLES: Record<Variant, string> = {
  sdk: 'SDK',
  'sdk-memory-store': 'SDK, EventStore in memory',
  'sdk-redis-store': 'SDK, EventStore in Redis',
  memory: 'anynode, memory',
  redis: 'anynode, Redis',
  'sdk-made': 'SDK, serverOptionsFor',
  'memory-made': 'anynode, memory, serverOptionsFor',
  'redis-made': 'anynode, Redis, serverOptionsFor',
  'sdk-plain': 'SDK, no Express',
  'memory-plain': 'anynode, memory, no Express',
  'redis-plain': 'anynode, Redis, no Express',
  'memory-read': 'anynode, memory, read-only tool',
  'redis-read': 'anynode, Redis, read-only tool',
};

export type Mount = 'made' | 'plain';

/** The settings with which a node is started. */
export interface NodeSettings {
  contestant: Contestant;
  responseMode?: 'sse' | 'json';
  /** `made`: in an app, with `serverOptionsFor`. `plain`: without Express. Left out: in an app, as usual. */
  mount?: Mount;
  /** The options of the same names, only for anynode. */
  prefix?: string;
  leaseMs?: number;
  sessionTtlMs?: number;
  replicaIdleMs?: number;
  maxReplicas?: number;
  /** Left out: without OpenTelemetry. */
  telemetry?: TelemetrySetting;
  /** `outbox`: records only. `directory`: also archives into a temporary directory. Left out: no audit trail. */
  audit?: 'outbox' | 'directory';
  /** The time that a network adds to each round trip to Redis. Left out: none. */
  roundTripMs?: number;
  /** Whether the other version of Node runs the server, that of `--beside`. */
  beside?: boolean;
  /** Whether V8 is to collect no garbage between two readings of what was allocated. */
  counted?: boolean;
}

/** Returns the settings of a node. By default, all contestants answer with SSE. */
export function settingsOf(variant: Variant, responseMode: 'sse' | 'json' = 'sse'): NodeSettings {
  const [contestant = '', mount] = variant.split(/-(?=(?:made|plain|read)$)/);
  return {
    contestant: contestant as Contestant,
    ...(responseMode === 'json' && { responseMode }),
    ...(mount !== undefined && mount !== 'read' && { mount: mount as Mount, prefix: mount }),
  };
}

/** Returns the tool that is called. */
export function toolOf(variant: Variant): EchoTool {
  return variant.endsWith('-read') ? 'echo-read-only' : 'echo';
}

/** The functions that `node.ts` needs besides the server. */
export interface Mounted {
  listener: RequestListener | Express;
  /** Sends one session a notification that belongs to no call. */
  notify: (sessionId: string, notification: Notification) => Promise<void>;
  /** Notifies all sessions that the list of tools has changed. */
  announce: () => Promise<void>;
  /** Returns the number of sessions with a server object on this node. */
  replicas: () => number;
}

export interface Notification {
  method: string;
  params: Record<string, unknown>;
}
