/** The records of the audit trail, and where they are stored. Each record is one entry of a session's log, with what the archiver knows about it. */
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';
import type { SessionEventType } from './public-types.js';

export type AuditRecordType =
  Exclude<SessionEventType, 'log.trimmed' | 'session.closed'> | 'session.ended' | 'gap';

/**
 * How a request ended:
 *
 * - `ok`: with a result.
 * - `tool_error`: with a result of a tool that says `isError`.
 * - `error`: with a JSON-RPC error.
 * - `cancelled`: its caller has cancelled it.
 * - `lost`: its node died.
 */
export type AuditOutcome = 'ok' | 'tool_error' | 'error' | 'cancelled' | 'lost';

/** One record of the audit trail. Fields that do not apply are left out. All but the last four are covered by `hash`. */
export interface AuditRecord {
  /** The version of the format. */
  v: 1;
  /** The session. */
  session: string;
  /**
   * The log id of the first entry of the session's chain. It tells two sessions apart that had the same id one after the
   * other.
   */
  chain: string;
  /** The number of the record in its chain, from 1. */
  seq: number;
  /** The number of the record among all records of its outbox, from 1. */
  ordinal: number;
  /** The outbox of the record. Only a Redis Cluster has more than one. */
  outbox: string;
  /** When it happened, in milliseconds since the epoch by the clock of Redis. */
  at: number;
  /** The place of the entry in the session's log. */
  logId: string;
  type: AuditRecordType;
  /** Whose session it is. Left out if the session is of anonymous callers, or if it is not known. */
  principal?: string;
  /** The name and the version of the client, as it gave them. */
  client?: string;
  /** The negotiated version of the protocol. */
  protocol?: string;
  /** From the client, or to it. */
  direction?: 'in' | 'out';
  stream?: string;
  /** The method of the message, or that of the request which the message answers or the event is about. */
  method?: string;
  /** The tool of a `tools/call`, and of its answer. */
  tool?: string;
  /** The request that the record is, answers, or is about. */
  requestId?: RequestId;
  /** Set with the record that ends a request. */
  outcome?: AuditOutcome;
  /** Set with `outcome`: the time from the request to its end. */
  durationMs?: number;
  /** The node that received the client's message. On an answer: the node that had received its request. */
  receivedBy?: string;
  /** The node that sent the server's message, which is the node that ran the request; or the node of an event. */
  ranOn?: string;
  /** As in `SessionEvent`. */
  shownBy?: string | null;
  /** As in `SessionEvent`. */
  from?: string;
  /** As in `SessionEvent`. */
  skipped?: number;
  /** As in `SessionEvent`. */
  trace?: string;
  /** With `session.ended`: why. */
  reason?: 'deleted' | 'removed' | 'expired';
  /** With `gap`: how many entries are missing, and when the first of them happened. */
  missing?: { entries: number; from: number };
  /**
   * True if the archiver had no key for the message. The message is in `sealed` then, as it was stored in the backplane, and
   * `bytes` and `digest` are those of that text. With `redact` it is left out.
   */
  unreadable?: true;
  /** True if `redact` has taken the message out or changed it. */
  redacted?: true;
  /** How many bytes the JSON text of the message has, as it is kept here. Left out if there is no message. */
  bytes?: number;
  /** SHA-256 over `salt` and the JSON text of the message, in base64url. It stays when the message is erased. */
  digest?: string;
  /** The hash of the record before in the chain. The first record has an empty text. */
  previous: string;

  /** SHA-256 over all fields above, in base64url. It is the key of the record: a second delivery has the same one. */
  hash: string;
  /** Makes the message's digest useless for guesses at an erased message. Erased with it. */
  salt?: string;
  /** The message, as `redact` shows it. */
  message?: JsonRpcMessage;
  /** In place of `message`: its JSON text as the codec has encoded it. */
  sealed?: string;
  /** True if the message was erased later. */
  erased?: true;
}

/**
 * Stores records. The archiver delivers the records of a session in their order, and delivers a batch again if it does not
 * know whether it was stored.
 */
export interface AuditSink {
  /**
   * Stores a batch of records durably. Resolves when a crash can lose none of them. A record whose `hash` is stored already
   * must change nothing. Rejects if it cannot store them: the archiver keeps the batch, and delivers it again later.
   */
  write(records: readonly AuditRecord[]): Promise<void>;
  /** Closes files and connections. Called once, after the last `write` has ended. */
  close?(): Promise<void>;
}
