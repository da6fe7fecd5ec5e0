/**
 * A backplane stores the sessions and carries messages between nodes. The memory and the Redis backplane implement this
 * interface. `docs/backplane.md` says what another implementation has to do.
 *
 * Everything that has to be atomic is one call, because Redis runs it as one script. No call awaits a client, a handler or
 * another node. Messages are JSON texts, which a backplane does not parse.
 */
import type { Clock } from '../protocol/timing/clock.js';
import type { NodeMessage } from './node-messages.js';
import type { ApplicationState } from './roles/application-state.js';
import type { AuditOutboxes, OutboxLimits } from './roles/audit-outboxes.js';
import type { BackplaneClock } from './roles/backplane-clock.js';
import type { BackplaneHealth } from './roles/backplane-health.js';
import type { Commits } from './roles/commits.js';
import type { NodeInboxes } from './roles/node-inboxes.js';
import type { NodeLeases } from './roles/node-leases.js';
import type { SessionStore } from './roles/session-store.js';
import type { Streams } from './roles/streams.js';
import type { SdkStoreAccess } from './sdk-store-access.js';

export * from './session-log.js';
export * from './node-messages.js';
export * from './operations.js';
export * from './positions.js';
export * from './roles/application-state.js';
export * from './roles/audit-outboxes.js';
export * from './roles/backplane-clock.js';
export * from './roles/backplane-health.js';
export * from './roles/commits.js';
export * from './roles/node-inboxes.js';
export * from './roles/node-leases.js';
export * from './roles/session-records.js';
export * from './roles/session-store.js';
export * from './roles/streams.js';
export type { Revision } from './revision.js';

export interface Backplane {
  /**
   * Connects one node. Returns at once, and connects and reconnects in the background. It does not throw if the server cannot
   * be reached. Calls then reject with `backplane_unavailable`.
   */
  join(options: JoinOptions): JoinedBackplane;
}

export interface JoinOptions {
  /** Random and new at each start. Letters and digits only. */
  nodeId: string;
  /** The clock for all intervals and timers. Tests and the simulator pass a clock of their own. */
  clock: Clock;
  /** How long the node's lease lasts without a renewal, in milliseconds. It is renewed after a third of that time. */
  leaseMs: number;
  /** After this time a call rejects, in milliseconds. */
  commandTimeoutMs: number;
  /** How long a session lives without being used, in milliseconds. */
  sessionTtlMs: number;
  /** How long a session lives without being used until its client has sent `initialized` or a request, in milliseconds. */
  pendingTtlMs: number;
  /**
   * How much of a session's log is kept: how many entries, how old in milliseconds, and how many bytes. Each entry counts 100
   * and the bytes of its message. `maxBytes` left out: there is no limit of bytes.
   */
  retention: { maxEvents: number; maxAgeMs: number; maxBytes?: number };
  /**
   * The bounds of the outbox into which the steps of this node copy what they log. Left out: they copy nothing. The end of a
   * session goes into the outbox in any case, if the outbox has anything of the session.
   */
  audit?: OutboxLimits | undefined;
  /**
   * Called for each message to this node. Messages of one sender arrive in order if they concern one session, or if they were
   * sent with `send`. Other messages may overtake each other. The callback does not throw and is not awaited.
   */
  onMessage(message: NodeMessage): void;
  /**
   * Called when this node had no lease for a while, because it was paused or cut off. Other nodes may have taken its sessions
   * and streams.
   */
  onLapse(): void;
  /** Called when messages may have been lost, for instance after a broken connection. Each follower then has to read the log. */
  onLost(): void;
  logger: { warn(message: string): void };
}

/**
 * The backplane as one node sees it. It has all roles, and each part of a node asks only for the roles that it needs.
 *
 * Calls reject with `backplane_unavailable` within `commandTimeoutMs`, and with `closed` after `leave`.
 */
export interface JoinedBackplane
  extends
    ApplicationState,
    BackplaneClock,
    BackplaneHealth,
    Commits,
    NodeInboxes,
    NodeLeases,
    SessionStore,
    Streams {
  /** Gives the lease up and closes the connections. Never rejects. A second call does nothing. */
  leave(): Promise<void>;

  /** The storage for the SDK's stores. Left out: this backplane does not keep them, and each store throws when it is used. */
  readonly sdkStores?: SdkStoreAccess | undefined;

  /** The outboxes of the audit trail. Left out: this backplane has none, and the option `audit` is refused. */
  readonly audit?: AuditOutboxes | undefined;
}
