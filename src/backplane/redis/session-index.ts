import type { Client, CommandConnection } from './connection/redis-connection.js';
import type { RedisKeys } from './redis-keys.js';

/** After every `TIDIED_EVERY` new sessions, the node checks `LOOKS` random entries of the index for each of them. */
const TIDIED_EVERY = 8;
const LOOKS = 3;

/** The list of all sessions. It is not updated when a session expires. Random looks find expired entries. */
export class SessionIndex {
  private added = 0;

  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
  ) {}

  async add(client: Client, sessionId: string): Promise<void> {
    await client.zadd(this.redisKeys.sessions, 0, sessionId);
  }

  /** Removes some expired entries. It must be called for each new session, so that the index does not grow for ever. */
  tidy(): void {
    this.added += 1;
    if (this.added % TIDIED_EVERY !== 1) return;
    // A failure does no harm. A later session tries again.
    void this.connection.run((client) => this.dropSome(client)).catch(() => undefined);
  }

  private async dropSome(client: Client): Promise<void> {
    const { sessions } = this.redisKeys;
    const ids = await client.zrandmember(sessions, TIDIED_EVERY * LOOKS);
    if (ids.length === 0) return;
    const keys = ids.map((id) => this.redisKeys.record(id));
    // Mostly all of them exist. In a cluster each key is in a slot of its own.
    if (!client.isCluster && (await client.exists(...keys)) === keys.length) return;
    const there = await Promise.all(keys.map((key) => client.exists(key)));
    const gone = ids.filter((_, at) => there[at] === 0);
    if (gone.length > 0) await client.zrem(sessions, ...gone);
  }
}
