import { randomBytes } from 'node:crypto';
import { LogLimit } from '../../../protocol/log-limit.js';
import type { Clock } from '../../../protocol/timing/clock.js';
import type {
  AuditOutboxes,
  Delivered,
  OutboxCheckpoint,
  OutboxPage,
  OutboxReply,
} from '../../roles/audit-outboxes.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { RedisKeys } from '../redis-keys.js';
import { isOutboxName, ONLY_OUTBOX } from './outbox-names.js';
import { parseCheckpoint, parseOutboxEntry, parsePlace } from './parse-outbox.js';

/** While Redis reads a page, it serves no other client. So a page has no more than this, whatever is asked for. */
const PAGE_ENTRIES = 1_000;
const PAGE_BYTES = 1024 * 1024;
/** How many sessions one step looks at for their end. */
const MOST_LOOKED_AT = 250;
/** How many outboxes of a cluster are asked at a time. */
const OUTBOXES_AT_A_TIME = 256;

interface Options {
  clock: Clock;
  logger: { warn(message: string): void };
}

/** The archiver's side of the outboxes in Redis. It needs no joined backplane. */
export class RedisOutboxes implements AuditOutboxes {
  private readonly oddEntries: LogLimit;

  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
    private readonly options: Options,
  ) {
    this.oddEntries = new LogLimit(options.clock);
  }

  async outboxes(): Promise<string[]> {
    if (!this.connection.isCluster) return [ONLY_OUTBOX];
    const names = new Set<string>();
    let cursor = '0';
    do {
      const [next, some] = await this.connection.run((client) =>
        client.sscan(this.redisKeys.outboxes, cursor, 'COUNT', 1000),
      );
      for (const name of some) if (isOutboxName(name)) names.add(name);
      cursor = next;
    } while (cursor !== '0');
    return [...names];
  }

  async lease(archiver: string, ms: number): Promise<boolean> {
    const key = this.redisKeys.archiver;
    const reply = await this.connection.run((client) =>
      client['anynode:audit/archiver-lease'](key, archiver, ms),
    );
    return reply === 1;
  }

  async release(archiver: string): Promise<void> {
    const key = this.redisKeys.archiver;
    await this.connection.run((client) =>
      client['anynode:audit/archiver-lease'](key, archiver, ''),
    );
  }

  async claim(outbox: string, archiver: string): Promise<OutboxCheckpoint> {
    const [, , counts] = this.redisKeys.ofOutbox(outbox);
    return parseCheckpoint(
      await this.connection.run((client) => client['anynode:audit/claim-outbox'](counts, archiver)),
    );
  }

  async readOutbox(outbox: string, page: OutboxPage): Promise<OutboxReply> {
    const { archiver, mark, after, maxEntries, maxBytes } = page;
    const [key, , counts] = this.redisKeys.ofOutbox(outbox);
    const from = after === undefined ? undefined : parsePlace(after);
    const reply = await this.connection.run((client) =>
      client['anynode:audit/read-outbox'](
        ...[key, counts, archiver, mark],
        ...[from?.place ?? '', from?.logId ?? '', from?.sessionId ?? ''],
        ...[Math.min(maxEntries, PAGE_ENTRIES), Math.min(maxBytes, PAGE_BYTES)],
      ),
    );
    if (reply === 'lost' || reply === 'changed') return { status: reply };
    const entries = (reply as unknown[]).map((row) => {
      const { entry, isSound } = parseOutboxEntry(row);
      if (!isSound) this.sayOdd(outbox, entry.id);
      return entry;
    });
    return { status: 'ok', entries };
  }

  async chains(outbox: string, sessionIds: string[]): Promise<(string | undefined)[]> {
    if (sessionIds.length === 0) return [];
    const [, chains] = this.redisKeys.ofOutbox(outbox);
    const states = await this.connection.run((client) => client.hmget(chains, ...sessionIds));
    return states.map((state) => state ?? undefined);
  }

  async beginChains(outbox: string, archiver: string, begun: ReadonlyMap<string, string>) {
    const [, chains, counts] = this.redisKeys.ofOutbox(outbox);
    const args = [chains, counts, archiver, ...[...begun].flat()];
    const reply = await this.connection.run((client) => client['anynode:audit/begin-chains'](args));
    return reply === 1 ? 'ok' : 'lost';
  }

  async acknowledge(
    outbox: string,
    { archiver, mark, upTo, chains, ordinal }: Delivered,
  ): Promise<OutboxCheckpoint | 'changed' | 'lost'> {
    const { place, logId, sessionId } = parsePlace(upTo);
    // The mark is new with each call, so all tries of this call, and no other one, find it again.
    const next = randomBytes(12).toString('base64url');
    const args = [
      ...this.redisKeys.ofOutbox(outbox),
      ...[archiver, mark, next, ordinal, place, logId, sessionId],
      ...[...chains].flatMap(([id, state]) => [id, state ?? '']),
    ];
    const reply = await this.connection.run((client) => client['anynode:audit/acknowledge'](args));
    if (reply === 'changed' || reply === 'lost') return reply;
    return { mark: next, ordinal };
  }

  async endExpired(outbox: string, count: number, from?: string): Promise<{ next?: string }> {
    const keys = this.redisKeys.ofOutbox(outbox);
    const setting = `a${this.connection.isCluster ? 'c' : ''} 0 0 ${keys[0]}`;
    const next = await this.connection.run((client) =>
      client['anynode:audit/end-expired'](
        ...keys,
        ...[from ?? '0', Math.min(count, MOST_LOOKED_AT)],
        ...this.redisKeys.aroundSession,
        setting,
      ),
    );
    return typeof next === 'string' && next !== '' ? { next } : {};
  }

  async waiting(): Promise<{ bytes: number; entries: number; oldest?: number }> {
    const names = await this.outboxes();
    const all: [number, number, number | undefined][] = [];
    for (let at = 0; at < names.length; at += OUTBOXES_AT_A_TIME) {
      const some = names.slice(at, at + OUTBOXES_AT_A_TIME);
      all.push(...(await Promise.all(some.map((name) => this.waitingIn(name)))));
    }
    const oldest = all.flatMap(([, , since]) => since ?? []).sort((a, b) => a - b)[0];
    return {
      bytes: all.reduce((sum, [bytes]) => sum + bytes, 0),
      entries: all.reduce((sum, [, entries]) => sum + entries, 0),
      ...(oldest !== undefined && { oldest }),
    };
  }

  private async waitingIn(outbox: string): Promise<[number, number, number | undefined]> {
    const [key, , counts] = this.redisKeys.ofOutbox(outbox);
    const [bytes, entries, first] = (await this.connection.run((client) =>
      client['anynode:audit/waiting'](key, counts),
    )) as [string, number, string];
    const since = first === '' ? undefined : Number(first.split('-')[0]);
    return [Number(bytes) || 0, entries, since];
  }

  private sayOdd(outbox: string, id: string): void {
    this.oddEntries.pass('entry', (more) => {
      this.options.logger.warn(
        `mcp-anynode: an entry of the audit outbox ${outbox} is malformed, and counts as a gap: ${JSON.stringify(id)}${more}`,
      );
    });
  }
}
