/** The entry `mcp-anynode/backplane`: the types for writing your own backplane. `docs/backplane.md` says what it has to do. */

// The backplane and its roles.
export type { Backplane, JoinOptions, JoinedBackplane } from './backplane.js';
export type { ApplicationState, StoredState } from './roles/application-state.js';
export type {
  AuditOutboxes,
  Delivered,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxLimits,
  OutboxPage,
  OutboxReply,
} from './roles/audit-outboxes.js';
export type { BackplaneClock } from './roles/backplane-clock.js';
export type { BackplaneHealth } from './roles/backplane-health.js';
export type { Commit, CommitReply, Commits } from './roles/commits.js';
export type { NodeInboxes } from './roles/node-inboxes.js';
export type { NodeLeases } from './roles/node-leases.js';
export type { SessionRecord, SessionRecords } from './roles/session-records.js';
export type { NewSession, SessionIdentity, SessionStore } from './roles/session-store.js';
export type {
  AttachReply,
  AttachRequest,
  EndsReply,
  EndsRequest,
  Holder,
  OpenStream,
  Page,
  ReadRequest,
  Streams,
  TouchReply,
  TouchRequest,
} from './roles/streams.js';

// The operations of a commit, and their results.
export type {
  AbandonOperation,
  AppendOperation,
  AssignOperation,
  ClaimOperation,
  Condition,
  DetachOperation,
  Effect,
  ForgetOperation,
  HangUpOperation,
  ListKind,
  NoteOperation,
  ExchangeOperation,
  OpenOperation,
  Operation,
  OperationResult,
  ReceiveOperation,
  ReleaseOperation,
  Route,
} from './operations.js';

// The entries of the log, and the messages between nodes.
export type { LogEntry, Note, StreamEvent } from './session-log.js';
export type { LogId, Position } from './positions.js';
export type { NodeMessage, StreamName } from './node-messages.js';
export type { Revision } from './revision.js';
export type { Clock } from '../protocol/timing/clock.js';

// The storage for the SDK's stores, which is optional.
export type {
  BroadcastListener,
  Broadcasts,
  ListedTask,
  NewTask,
  ReplayPage,
  Replays,
  SdkStoreAccess,
  TaskChange,
  TaskChanged,
  TaskRecord,
  TaskStatus,
  Tasks,
} from './sdk-store-access.js';

// Constants that nodes compare stored values with, and limits that nodes rely on.
export { LOOK_HOLDS_MS, RELEASED, coalescedByUri, isReleased } from './operations.js';
export { LOG_START, STANDALONE, compareLogIds } from './positions.js';
export { ANY_PRINCIPAL } from './roles/session-records.js';
export { RESUMED_EVERY_MS } from './session-log.js';
export { KEPT_BROADCASTS, isTerminal } from './sdk-store-access.js';

// The form of a revision. Nodes compute with it which change came after which.
export { FIRST_REVISION, UNKNOWN_REVISION, nextRevision } from './revision.js';

// The limits on the sessions of a principal.
export { TooManySessions } from './roles/session-store.js';
export { pendingWeight } from './pending-weight.js';

// The errors that calls reject with.
export { AnynodeError } from '../protocol/errors.js';
export type { AnynodeErrorCode } from '../protocol/errors.js';
