import type { Membership } from '../backplane/backplane.js';
import type { Limits } from '../options/limits.js';
import type { Logger } from '../options/types.js';
import type { Clock } from '../protocol/clock.js';
import type { CommitQueue } from './commit-queue.js';
import type { Followers } from './followers.js';
import type { SessionNotices } from './session-notices.js';

/** The options of a node that decide how its sessions are served. */
export interface SessionSettings {
  responseMode: 'sse' | 'json';
  /** `affinity: 'owner'`: a session has one replica, on the node that owns it. */
  owned: boolean;
  /** A node that is silent for so long is dead. */
  leaseMs: number;
  replicaIdleMs: number;
  maxReplicas: number;
  limits: Limits;
}

/** The node that a part belongs to: who it is, and how its parts read, write and show what is in sessions. */
export interface NodeContext {
  nodeId: string;
  clock: Clock;
  logger: Logger;
  settings: SessionSettings;
  membership: Membership;
  commitQueue: CommitQueue;
  followers: Followers;
  notices: SessionNotices;
}
