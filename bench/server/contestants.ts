/** The servers that are compared. Each runs in a process of its own (`node.ts`). */
export const CONTESTANTS = [
  'sdk',
  'sdk-memory-store',
  'sdk-redis-store',
  'memory',
  'redis',
] as const;
export type Contestant = (typeof CONTESTANTS)[number];

export const TITLES: Record<Contestant, string> = {
  sdk: 'SDK',
  'sdk-memory-store': 'SDK, EventStore in memory',
  'sdk-redis-store': 'SDK, EventStore in Redis',
  memory: 'anynode, memory',
  redis: 'anynode, Redis',
};

/** What a node is told when it is started. */
export interface NodeSettings {
  contestant: Contestant;
  responseMode?: 'sse' | 'json';
  /** As the options of the same names; only for anynode. */
  prefix?: string;
  replicaIdleMs?: number;
  maxReplicas?: number;
}

/** What `node.ts` needs of a server, besides that it serves. */
export interface Mounted {
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
