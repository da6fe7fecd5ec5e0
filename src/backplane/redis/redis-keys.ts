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

  /** An id that cannot be a hash tag belongs to no session. All such ids share the keys of one impossible session. */
  record(sessionId: string): string {
    return `${this.prefix}:{${/^[^{}]+$/.test(sessionId) ? sessionId : ' '}}`;
  }

  streams(sessionId: string): string {
    return `${this.record(sessionId)}:streams`;
  }

  events(sessionId: string): string {
    return `${this.record(sessionId)}:events`;
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

  /** The key of the log of broadcasts. */
  get broadcasts(): string {
    return `${this.prefix}:broadcasts`;
  }

  get broadcastChannel(): string {
    return `${this.broadcasts}${this.database === 0 ? '' : `:${this.database}`}`;
  }
}
