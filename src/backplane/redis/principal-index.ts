import { createHash } from 'node:crypto';
import type { NewSession } from '../backplane.js';
import { pendingWeight } from '../pending-weight.js';
import type { Client } from './connection/redis-connection.js';
import { isMalformed } from './malformed-session.js';

type Most = NonNullable<NewSession['most']>;

type Outcome = 'entered' | 'sessions' | 'pending';

/** The state of a session that is in an index. */
type Fate = 'gone' | 'used' | 'pending';

/**
 * Counts the sessions of each principal, in an index per principal, because sessions are in slots of their own. The index is
 * not updated when a session expires or is first used. That is looked up when there seem to be too many.
 */
export class Principals {
  constructor(
    private readonly prefix: string,
    private readonly recordOf: (sessionId: string) => string,
    private readonly options: { sessionTtlMs: number; pendingTtlMs: number },
  ) {}

  /** Enters a stored session into the index, unless its principal has too many. */
  async enter(client: Client, session: NewSession & { most: Most }): Promise<Outcome> {
    const { id, principal, most } = session;
    const index = indexOf(this.prefix, principal);
    const { pendingTtlMs, sessionTtlMs } = this.options;
    for (;;) {
      const [outcome, members = []] = (await client['anynode:enter'](
        ...[index, id, most.sessions, most.pending, pendingTtlMs, sessionTtlMs],
        pendingWeight(session),
      )) as [Outcome, string[]?];
      if (outcome === 'entered') return outcome;
      if ((await this.lookAt(client, index, members, outcome)) === 0) return outcome;
    }
  }

  /** Drops members whose session is gone, and marks those that were used. Returns how many no longer count for `kind`. */
  private async lookAt(
    client: Client,
    index: string,
    members: string[],
    kind: Outcome,
  ): Promise<number> {
    const fates = await Promise.all(
      members.map((member) => this.fateOf(client, sessionOf(member))),
    );
    const used = members.filter((_, at) => fates[at] === 'used');
    // A used session counts only once. So its further members, which stand for a large handshake, are dropped.
    const over = used.filter((member) => sessionOf(member) !== member);
    const dropped = members.filter((_, at) => fates[at] === 'gone').concat(over);
    if (dropped.length > 0) await client.zrem(index, ...dropped);
    const marked = used.filter((member) => !over.includes(member));
    if (kind === 'sessions' || marked.length === 0) return dropped.length;
    await client.zadd(index, 'XX', ...marked.flatMap((id) => [0, id]));
    return dropped.length + marked.length;
  }

  private async fateOf(client: Client, sessionId: string): Promise<Fate> {
    const [revision, on, called] = await client
      .hmget(this.recordOf(sessionId), ...['rev', 'on', 'called'])
      .catch((error: unknown): (string | null)[] => {
        // A malformed session ends with its next use. Until then it must not count, or keep others from being counted.
        if (isMalformed(error)) return [];
        throw error;
      });
    if (typeof revision !== 'string') return 'gone';
    return on === '1' || called === '1' ? 'used' : 'pending';
  }
}

/** Returns the session id of a member of the index. Session ids have no spaces. */
function sessionOf(member: string): string {
  return member.slice(member.lastIndexOf(' ') + 1);
}

export async function dropFromIndex(
  client: Client,
  prefix: string,
  principal: string,
  sessionId: string,
): Promise<void> {
  await client.zrem(indexOf(prefix, principal), sessionId);
}

/** Returns the key of a principal's index. The principal is hashed, because it may be any text of any length. */
function indexOf(prefix: string, principal: string): string {
  const hash = createHash('sha256').update(principal).digest('base64url');
  return `${prefix}:principal:{${hash}}`;
}
