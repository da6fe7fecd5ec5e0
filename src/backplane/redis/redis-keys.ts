/** Keys and channels. Those of one session share a hash tag: one slot, so that a script may touch them all. */
export class RedisKeys {
  readonly sessions: string;

  /** `database`: its number. Pub/sub knows no databases, so the channels of each but 0 are named after it. */
  constructor(
    private readonly prefix: string,
    private readonly database = 0,
  ) {
    this.sessions = `${prefix}:sessions`;
  }

  /** No session has an id that makes no hash tag: all such ids share the keys of one that cannot be. */
  record(sessionId: string): string {
    return `${this.prefix}:{${/^[^{}]+$/.test(sessionId) ? sessionId : ' '}}`;
  }

  streams(sessionId: string): string {
    return `${this.record(sessionId)}:streams`;
  }

  events(sessionId: string): string {
    return `${this.record(sessionId)}:events`;
  }

  keys(sessionId: string): [string, string, string] {
    const record = this.record(sessionId);
    return [record, `${record}:streams`, `${record}:events`];
  }

  node(nodeId: string): string {
    return `${this.prefix}:node:${nodeId}`;
  }

  /** For `SCAN`: the leases of all nodes. */
  get anyNode(): string {
    return `${this.prefix.replace(/[*?[\]\\]/g, '\\$&')}:node:*`;
  }

  /** Of a key that {@link anyNode} fits. */
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
