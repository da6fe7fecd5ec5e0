import type { RequestListener } from 'node:http';
import type { Express } from 'express';
import type { TelemetrySetting } from './telemetry.js';

/** The servers that are compared. Each runs in a process of its own (`node.ts`). */
export const CONTESTANTS = [
  'sdk',
  'sdk-memory-store',
  'sdk-redis-store',
  'memory',
  'redis',
] as const;
export type Contestant = (typeof CONTESTANTS)[number];

/** The same in an Express app whose server makes requests as the app's from the start (`serverOptionsFor`). */
export const MADE_FOR_EXPRESS = ['sdk-made', 'memory-made', 'redis-made'] as const;
/** The same on a server of Node's own, without Express. */
export const WITHOUT_EXPRESS = ['sdk-plain', 'memory-plain', 'redis-plain'] as const;
export type Variant =
  Contestant | (typeof MADE_FOR_EXPRESS)[number] | (typeof WITHOUT_EXPRESS)[number];

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
};

export type Mount = 'made' | 'plain';

/** What a node is told when it is started. */
export interface NodeSettings {
  contestant: Contestant;
  responseMode?: 'sse' | 'json';
  /** `made`: in an app, with `serverOptionsFor`. `plain`: without Express. Left out: in an app, as usual. */
  mount?: Mount;
  /** As the options of the same names; only for anynode. */
  prefix?: string;
  replicaIdleMs?: number;
  maxReplicas?: number;
  /** Left out: without OpenTelemetry. */
  telemetry?: TelemetrySetting;
}

/** What `node.ts` needs of a server, besides that it serves. */
export interface Mounted {
  listener: RequestListener | Express;
  /** A message that belongs to no call, to one session. */
  notify: (sessionId: string, notification: Notification) => Promise<void>;
  /** The list of tools has changed: to all sessions. */
  announce: () => Promise<void>;
  /** Sessions with a server object here. */
  replicas: () => number;
}

export interface Notification {
  method: string;
  params: Record<string, unknown>;
}
