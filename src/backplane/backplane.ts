/**
 * A backplane: where sessions live, and how nodes talk. Memory and Redis implement this interface; `docs/backplane.md` says
 * what another implementation has to do.
 *
 * Everything that has to be atomic is one call here, because it is one script there. No call awaits a client, a
 * handler or another node. Messages are JSON texts and are never looked into.
 */
import type { Clock } from '../protocol/clock.js';
import type { NodeMessage } from './node-messages.js';
import type { ApplicationState } from './roles/application-state.js';
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
   * Connects one node. Returns at once: connections are made, and made again, in the background.
   * Nothing is thrown here for a server that cannot be reached; calls then reject with `backplane_unavailable`.
   */
  join(options: JoinOptions): JoinedBackplane;
}

export interface JoinOptions {
  /** Random and new at each start. Letters and digits only. */
  nodeId: string;
  /** All intervals and timers go by this clock, so that tests and the simulator can run on a clock of their own. */
  clock: Clock;
  /** After this time without a renewal the node's lease ends, in milliseconds. It is renewed at a third of it. */
  leaseMs: number;
  /** After this time a call rejects, in milliseconds. */
  commandTimeoutMs: number;
  /** How long a session lives without being used, in milliseconds. */
  sessionTtlMs: number;
  /** The same, until its client has sent `initialized` or a request. */
  pendingTtlMs: number;
  /**
   * How much of a session's log is kept: entries, their age in milliseconds, and bytes, which are those of the messages
   * and 100 for each entry. `maxBytes` left out: there is no limit of bytes.
   */
  retention: { maxEvents: number; maxAgeMs: number; maxBytes?: number };
  /**
   * Called for each message to this node. Messages of one sender come in their order if they concern one session, or if they
   * went through `send`. Others may overtake each other. It does not throw and is not awaited.
   */
  onMessage(message: NodeMessage): void;
  /** Called when this node had no lease for a while (it was paused, or cut off): other nodes may have what it held. */
  onLapse(): void;
  /** Called when messages may have been lost, as after a broken connection: each follower has to look at the log. */
  onLost(): void;
  logger: { warn(message: string): void };
}

/**
 * One node's view of the backplane: the sum of the roles. Each part of a node asks for the roles that it needs.
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

  /** Where the SDK's stores are kept. Left out: this backplane has no room for them, and each store throws when it is used. */
  readonly sdkStores?: SdkStoreAccess | undefined;
}
