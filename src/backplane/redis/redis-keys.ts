/**
 * The names of keys and channels. The keys of a session share a hash tag and so a slot, so that a script may use them all.
 */
export class RedisKeys {
  readonly sessions: string;

  /**
   * `database` is its number. Pub/sub ignores databases, so channels of each database but 0 have its number in their names.
   */
  constructor(
    private readonly prefix: string,
    private readonly database = 0,
  ) {
    this.sessions = `${prefix}:sessions`;
  }

  record(sessionId: string): string {
    return `${this.prefix}:{${this.tagOf(sessionId)}}`;
  }

  /**
   * The hash tag of a session's keys. An id that cannot be a hash tag belongs to no session. All such ids share the keys of
   * one impossible session.
   */
  tagOf(sessionId: string): string {
    return /^[^{}]+$/.test(sessionId) ? sessionId : ' ';
  }

  streams(sessionId: string): string {
    return `${this.record(sessionId)}:streams`;
  }

  events(sessionId: string): string {
    return `${this.record(sessionId)}:events`;
  }

  /** What the keys of a session have around its id: in front of it, behind it in the record's, and in the streams hash's. */
  get aroundSession(): [string, string, string] {
    return [`${this.prefix}:{`, '}', '}:streams'];
  }

  ofSession(sessionId: string): [string, string, string] {
    const record = this.record(sessionId);
    return [record, `${record}:streams`, `${record}:events`];
  }

  node(nodeId: string): string {
    return `${this.prefix}:node:${nodeId}`;
  }

  /** The pattern of all leases, for `SCAN`. */
  get anyNode(): string {
    return `${this.prefix.replace(/[*?[\]\\]/g, '\\$&')}:node:*`;
  }

  /** Returns the node's id from a key that matches {@link anyNode}. */
  nodeIdOf(key: string): string {
    return key.slice(this.node('').length);
  }

  channel(nodeId: string): string {
    return `${this.prefix}:inbox:${this.database === 0 ? '' : `${this.database}:`}${nodeId}`;
  }

  /** The keys of an outbox of the audit trail: its entries, its chains, its counts and its gaps. */
  ofOutbox(name: string): [string, string, string, string] {
    const key = this.outbox(name);
    return [key, `${key}:chains`, `${key}:counts`, `${key}:gaps`];
  }

  outbox(name: string): string {
    return `${this.prefix}:audit:{${name}}`;
  }

  /** The set of the outboxes of a Redis Cluster that are in use. */
  get outboxes(): string {
    return `${this.prefix}:audit:outboxes`;
  }

  /** The lease of the archiver. */
  get archiver(): string {
    return `${this.prefix}:audit:archiver`;
  }

  /** The key of the log of broadcasts. */
  get broadcasts(): string {
    return `${this.prefix}:broadcasts`;
  }

  get broadcastChannel(): string {
    return `${this.broadcasts}${this.database === 0 ? '' : `:${this.database}`}`;
  }
}
