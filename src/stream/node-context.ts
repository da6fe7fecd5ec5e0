import type { JoinedBackplane } from '../backplane/backplane.js';
import type { Limits } from '../options/limits.js';
import type { NodeTelemetry } from '../options/node-telemetry.js';
import type { Logger } from '../options/public-types.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { CommitQueue } from './commit-queue.js';
import type { Followers } from './followers/followers.js';
import type { SessionNotices } from './session-notices.js';

/** The options of a node that decide how its sessions are served. */
export interface SessionSettings {
  responseMode: 'sse' | 'json';
  /** True with `affinity: 'owner'`: a session has one replica, on the node that owns it. */
  owned: boolean;
  /** True if requests that change nothing may begin before they are stored. */
  earlyReads: boolean;
  /** How long a lease lasts without a renewal. */
  leaseMs: number;
  replicaIdleMs: number;
  maxReplicas: number;
  limits: Limits;
}

/** What the parts of a node share: the node's id, its settings, and the parts that many others need. */
export interface NodeContext {
  nodeId: string;
  clock: Clock;
  logger: Logger;
  settings: SessionSettings;
  backplane: JoinedBackplane;
  commitQueue: CommitQueue;
  followers: Followers;
  notices: SessionNotices;
  telemetry?: NodeTelemetry | undefined;
}
