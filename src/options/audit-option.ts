/** The option `audit`: what it takes, and how it is read. */
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import type { OutboxLimits } from '../backplane/roles/audit-outboxes.js';
import type { AuditRecord, AuditSink } from './audit-records.js';
import { asGiven, oneOf, positive, readOptions } from './option-readers.js';

/**
 * Where records of the audit trail go. A text is the path of a directory, or a URL of PostgreSQL (`postgres://…`). A function
 * gets batches of records, and stores them before it returns or resolves. A batch may come again, with the same hashes.
 */
export type AuditTarget =
  AuditSink | ((records: readonly AuditRecord[]) => Promise<void> | void) | string;

/** See the option `audit`. */
export interface AuditOptions {
  /**
   * Where the records go: the path of a directory, a URL such as `postgres://user@host/database`, what `directorySink()` or
   * `postgresSink()` of `mcp-anynode/audit` returns, or a function that stores a batch of records. Of all nodes with a sink,
   * one at a time delivers. Default: none, so that this node records only, and another process delivers.
   */
  sink?: AuditTarget | undefined;
  /**
   * What happens while so much waits for the sink that a bound is reached. With `refuse`, clients get 503 for new sessions and
   * new messages, so that nothing happens that cannot be recorded. With `drop`, entries are left out. Their number is logged
   * as an error, and is in the trail as a `gap`. Default `refuse`.
   */
  whenFull?: 'refuse' | 'drop' | undefined;
  /** How many bytes of one session may wait for the sink. Each entry counts 100 and the bytes of its message. Default 16 MiB. */
  maxSessionBytes?: number | undefined;
  /** How many bytes may wait for the sink in all. In a Redis Cluster: in one slot. Default 256 MiB. */
  maxTotalBytes?: number | undefined;
  /**
   * True: the messages in the trail are encoded by the option `codec`. All other fields of a record stay in clear. Default
   * `false`.
   */
  encrypt?: boolean | undefined;
}

/** The option after it was read. */
export interface Audit {
  limits: OutboxLimits;
  sink: AuditTarget | undefined;
  /** The codec that encodes the messages of records, if they are to be encoded. */
  sealWith: PayloadCodec | undefined;
}

const MIB = 1024 * 1024;

const AUDIT = {
  sink: readTarget,
  whenFull: oneOf('refuse', 'drop'),
  maxSessionBytes: positive(16 * MIB),
  maxTotalBytes: positive(256 * MIB),
  encrypt: oneOf<boolean>(false, true),
};

/** Reads the option `audit`. `codec` is the option of that name. Throws a `TypeError` if they make no sense. */
export function auditOf(
  given: AuditOptions | undefined,
  codec: PayloadCodec | undefined,
): Audit | undefined {
  if (given === undefined) return undefined;
  const value: unknown = given;
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(
      'mcp-anynode: `audit` has to be an object such as { sink: "/var/lib/audit" }',
    );
  }
  const { sink, encrypt, ...limits } = readOptions(AUDIT, given, 'audit.');
  return { limits, sink, sealWith: sealWithOf(encrypt, codec) };
}

/** Returns the codec if messages are to be encoded. Throws a `TypeError` if there is none. */
export function sealWithOf(
  encrypt: boolean,
  codec: PayloadCodec | undefined,
): PayloadCodec | undefined {
  if (!encrypt) return undefined;
  if (codec !== undefined) return codec;
  throw new TypeError(
    'mcp-anynode: `audit.encrypt` needs the option `codec`, such as what `aesGcmCodec()` returns',
  );
}

/** Checks a target. Throws a `TypeError` that does not repeat it, because a URL may have a password in it. */
export function readTarget(value: unknown, name: string): AuditTarget | undefined {
  if (value === undefined || typeof value === 'function')
    return asGiven<AuditTarget>()(value, name);
  const write = typeof value === 'object' && value !== null && 'write' in value && value.write;
  if (typeof write === 'function') return value as AuditSink;
  if (typeof value === 'string' && value.trim() !== '') {
    if (!isUrl(value)) return value;
    if (isPostgresUrl(value)) {
      checkPostgresUrl(value, `\`${name}\``);
      return value;
    }
  }
  throw new TypeError(
    `mcp-anynode: \`${name}\` has to be the path of a directory, a URL such as ` +
      'postgres://user@host/database, an object with `write`, or a function that takes records',
  );
}

/** Returns true for a URL of PostgreSQL. It need not be a valid one. */
export function isPostgresUrl(target: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(target);
}

/** Returns true if a text cannot be meant as the path of a directory. */
export function isUrl(target: string): boolean {
  return /^(?:[a-z][a-z0-9+.-]+:\/\/|postgres(?:ql)?:)/i.test(target);
}

/**
 * Throws a `TypeError` if a text is not a URL of PostgreSQL, or cannot be parsed. It does not repeat the text, which may have a
 * password in it. `name` is what the text was given for.
 */
export function checkPostgresUrl(target: string, name: string): void {
  if (!isPostgresUrl(target)) {
    throw new TypeError(
      `mcp-anynode: ${name} has to be the path of a directory, or a URL such as postgres://user@host/database`,
    );
  }
  // A user without a host, as in `postgres://user@/database`, is for the default host. Only `pg` can parse that.
  if (URL.canParse(target.replace('@/', '@host/'))) return;
  throw new TypeError(
    `mcp-anynode: ${name} is no valid URL of PostgreSQL; in a user or a password, write %2F for /, %3A for :, %40 for @ and %23 for #`,
  );
}
