import { createHash } from 'node:crypto';
import type { NewSession } from '../backplane.js';
import { TooManySessions } from '../backplane.js';
import type { Client, CommandConnection } from './connection.js';

type Most = NonNullable<NewSession['most']>;

/** What became of a session that is in an index. */
type Fate = 'gone' | 'used' | 'pending';

/**
 * Counts the sessions of each principal. They are in slots of their own, so each principal has an index of them, which
 * is not told when a session expires or is used for the first time: that is looked up when there seem to be too many.
 */
export class Principals {
  constructor(
    private readonly connection: CommandConnection,
    private readonly prefix: string,
    private readonly recordOf: (sessionId: string) => string,
    private readonly options: { sessionTtlMs: number; pendingTtlMs: number },
  ) {}

  /** Enters a session that is stored already. Rejects with {@link TooManySessions}. */
  async enter(principal: string, sessionId: string, most: Most): Promise<void> {
    const index = this.indexOf(principal);
    const { pendingTtlMs, sessionTtlMs } = this.options;
    for (let dropped = 1; dropped > 0;) {
      const [outcome, ids = []] = (await this.connection.run((client) =>
        client['anynode:enter'](
          ...[index, sessionId, most.sessions, most.pending, pendingTtlMs, sessionTtlMs],
        ),
      )) as ['entered' | 'sessions' | 'pending', string[]?];
      if (outcome === 'entered') return;
      dropped = await this.connection.run((client) => this.lookAt(client, index, ids, outcome));
      if (dropped === 0) throw new TooManySessions(outcome);
    }
  }

  async drop(principal: string, sessionId: string): Promise<void> {
    await this.connection.run((client) => client.zrem(this.indexOf(principal), sessionId));
  }

  /** Drops those that are gone, and marks those that were used. How many count no longer for `kind`? */
  private async lookAt(
    client: Client,
    index: string,
    ids: string[],
    kind: 'sessions' | 'pending',
  ): Promise<number> {
    const fates = await Promise.all(ids.map((id) => this.fateOf(client, id)));
    const gone = ids.filter((_, at) => fates[at] === 'gone');
    const used = ids.filter((_, at) => fates[at] === 'used');
    if (gone.length > 0) await client.zrem(index, ...gone);
    if (kind === 'sessions' || used.length === 0) return gone.length;
    await client.zadd(index, 'XX', ...used.flatMap((id) => [0, id]));
    return gone.length + used.length;
  }

  private async fateOf(client: Client, sessionId: string): Promise<Fate> {
    const [revision, on, called] = await client.hmget(
      this.recordOf(sessionId),
      ...['rev', 'on', 'called'],
    );
    if (typeof revision !== 'string') return 'gone';
    return on === '1' || called === '1' ? 'used' : 'pending';
  }

  /** A principal can be anything, and of any length. */
  private indexOf(principal: string): string {
    const hash = createHash('sha256').update(principal).digest('base64url');
    return `${this.prefix}:principal:{${hash}}`;
  }
}
