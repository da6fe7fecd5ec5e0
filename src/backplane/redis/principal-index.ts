import { createHash } from 'node:crypto';
import type { NewSession } from '../backplane.js';
import { pendingWeight } from '../pending-weight.js';
import type { Client } from './connection/redis-connection.js';
import { isMalformed } from './malformed-session.js';

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
      const [outcome, members = []] = (await client['anynode:enter'](
        ...[index, id, most.sessions, most.pending, pendingTtlMs, sessionTtlMs],
        pendingWeight(session),
      )) as [Outcome, string[]?];
      if (outcome === 'entered') return outcome;
      if ((await this.lookAt(client, index, members, outcome)) === 0) return outcome;
    }
  }

  /** Drops members whose session is gone, and marks those that were used. Returns how many count no longer for `kind`. */
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
    // What a session counted for its handshake is over when it is used.
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
        // What is malformed ends with its next use. It must not count for ever, nor keep others from being counted.
        if (isMalformed(error)) return [];
        throw error;
      });
    if (typeof revision !== 'string') return 'gone';
    return on === '1' || called === '1' ? 'used' : 'pending';
  }
}

/** Session ids have no spaces. */
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

/** A principal can be anything, and of any length. */
function indexOf(prefix: string, principal: string): string {
  const hash = createHash('sha256').update(principal).digest('base64url');
  return `${prefix}:principal:{${hash}}`;
}
