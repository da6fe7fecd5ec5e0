import { createHash } from 'node:crypto';
import type { NewSession } from '../backplane.js';
import type { Client } from './connection.js';
import { isMalformed } from './malformed.js';

type Most = NonNullable<NewSession['most']>;

type Outcome = 'entered' | 'sessions' | 'pending';

/** What became of a session that is in an index. */
type Fate = 'gone' | 'used' | 'pending';

/**
 * Counts the sessions of each principal. They are in slots of their own, so each principal has an index of them, which
 * is not told when a session expires or is used for the first time: that is looked up when there seem to be too many.
 */
export class Principals {
  constructor(
    private readonly prefix: string,
    private readonly recordOf: (sessionId: string) => string,
    private readonly options: { sessionTtlMs: number; pendingTtlMs: number },
  ) {}

  /** Enters a session that is stored already, if its principal has not too many. */
  async enter(client: Client, session: NewSession & { most: Most }): Promise<Outcome> {
    const { id, principal, most } = session;
    const index = indexOf(this.prefix, principal);
    const { pendingTtlMs, sessionTtlMs } = this.options;
    for (;;) {
      const [outcome, ids = []] = (await client['anynode:enter'](
        ...[index, id, most.sessions, most.pending, pendingTtlMs, sessionTtlMs],
      )) as [Outcome, string[]?];
      if (outcome === 'entered') return outcome;
      if ((await this.lookAt(client, index, ids, outcome)) === 0) return outcome;
    }
  }

  /** Drops those that are gone, and marks those that were used. How many count no longer for `kind`? */
  private async lookAt(
    client: Client,
    index: string,
    ids: string[],
    kind: Outcome,
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
    const [revision, on, called] = await client
      .hmget(this.recordOf(sessionId), ...['rev', 'on', 'called'])
      .catch((error: unknown): (string | null)[] => {
        // What is malformed ends with its next use. It must not count for ever, nor keep others from being counted.
        if (isMalformed(error)) return [];
        throw error;
      });
    if (typeof revision !== 'string') return 'gone';
    return on === '1' || called === '1' ? 'used' : 'pending';
  }
}

export async function dropFromIndex(
  client: Client,
  prefix: string,
  principal: string,
  sessionId: string,
): Promise<void> {
  await client.zrem(indexOf(prefix, principal), sessionId);
}

/** A principal can be anything, and of any length. */
function indexOf(prefix: string, principal: string): string {
  const hash = createHash('sha256').update(principal).digest('base64url');
  return `${prefix}:principal:{${hash}}`;
}
