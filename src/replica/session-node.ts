import type { Membership } from '../backplane/backplane.js';
import type { NodeWatch } from '../execution/recovery/node-watch.js';
import type { Limits } from '../options/limits.js';
import type { Clock } from '../protocol/clock.js';
import type { Follower } from '../stream/follower.js';
import type { Followers } from '../stream/followers.js';
import type { CommitQueue } from '../stream/commit-queue.js';
import type { OutgoingRequests } from './requests/outgoing-requests.js';
import type { BegunStreams } from '../stream/begun-streams.js';
import type { RunningCount } from './requests/running-calls.js';
import type { DeliveryContext } from './replica.js';
import type { Logger, ServerContext, ServerLike } from '../options/types.js';

/** Of the ids of nodes. 36^10: no two nodes of a cluster share one, without asking anybody. */
export const NODE_ID_LENGTH = 10;

/** What a factory is told, and what those of this library need besides: the HTTP request that needs the replica. */
export type FactoryContext = ServerContext & Pick<DeliveryContext, 'requestInfo'>;

/** What every part of a node's session layer shares. */
export interface SessionNode {
  nodeId: string;
  membership: Membership;
  commitQueue: CommitQueue;
  followers: Followers;
  outgoingRequests: OutgoingRequests;
  running: RunningCount;
  /** Requests that are neither answered nor running yet. */
  arriving: RunningCount;
  begunStreams: BegunStreams;
  /** Whether a request would reach the server behind this node, if there is one behind it. Never rejects. */
  isServerReachable(): Promise<boolean>;
  factory: (context: FactoryContext) => ServerLike | Promise<ServerLike>;
  responseMode: 'sse' | 'json';
  /** `affinity: 'owner'`: a session has one replica, on the node that owns it. */
  owned: boolean;
  /** A node that is silent for so long is dead. */
  leaseMs: number;
  replicaIdleMs: number;
  maxReplicas: number;
  limits: Limits;
  clock: Clock;
  logger: Logger;
  /** Decides which nodes are dead. */
  watch: NodeWatch;
  /** Ends the requests of a stream if the node that runs them is dead. `false`: it lives, or nobody knows. */
  endDead(sessionId: string, stream: string, executor: string): Promise<boolean>;
  /** Has the node that runs the requests of a stream look whether it still does. Never fails. */
  doubt(sessionId: string, stream: string, executor: string): void;
  /** Another node owns the session, though this one has its replica. */
  onDisowned(sessionId: string): void;
  /** The session has ended, as the backplane says, though nobody may have told this node. */
  onGone(sessionId: string): void;
  /** Another node executes a stream that this one had begun, or there is no such stream any more. */
  onTaken(sessionId: string, stream: string): void;
  /** All requests of a stream have been answered here, and the backplane still has it open. */
  onAnswered(sessionId: string, stream: string): void;
  /** Ends the connection that holds a stream, wherever it is, if its client can come back. Never fails. */
  hangUp(sessionId: string, stream: string): void;
  /** See {@link NodeWatch.isAlive}. */
  isAlive(nodeId: string): Promise<boolean>;
  /** A connection has shown something: its position is to be reported. */
  onMove(follower: Follower): void;
  /** A name for a stream or connection that no other of this session, on any node, has. */
  nextName(): string;
}
