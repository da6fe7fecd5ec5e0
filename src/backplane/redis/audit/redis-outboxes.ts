import { randomBytes } from 'node:crypto';
import { LogLimit } from '../../../protocol/log-limit.js';
import type { Clock } from '../../../protocol/timing/clock.js';
import type {
  AuditOutboxes,
  Delivered,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxPage,
  OutboxReply,
} from '../../roles/audit-outboxes.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { RedisKeys } from '../redis-keys.js';
import { isOutboxName, ONLY_OUTBOX } from './outbox-names.js';
import type { OutboxRow } from './parse-outbox.js';
import {
  parseCheckpoint,
  parseOutboxEntry,
  parsePlace,
  placeOf,
  untilFull,
} from './parse-outbox.js';
import { ReadEntries } from './read-entries.js';

/** While Redis reads a page, it serves no other client. So a page has no more entries, whatever is asked for. */
const PAGE_ENTRIES = 1_000;
/** If no more bytes wait, a page may be read with one command, however large its entries are. */
const LITTLE_BYTES = 2 * 1024 * 1024;
/** Else a script reads the page, which takes longer. So its page is smaller. */
const SCRIPT_ENTRIES = 500;
const SCRIPT_BYTES = 512 * 1024;
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
  private readonly read = new ReadEntries();

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
    const { archiver, mark, after } = page;
    const [key, , counts] = this.redisKeys.ofOutbox(outbox);
    const from = after === undefined ? undefined : parsePlace(after);
    const [claimedBy, current, waiting] = await this.connection.run((client) =>
      client.hmget(counts, 'a', 'm', 'b'),
    );
    // An acknowledgment is refused for the same reasons. So what another archiver does meanwhile does no harm.
    if (claimedBy !== archiver) return { status: 'lost' };
    if ((current ?? '') !== mark) return { status: 'changed' };
    // The page begins with the entry `after`, which has to be the one that the caller has read.
    const extra = from === undefined ? 0 : 1;
    const isLittle = Number(waiting ?? 0) <= LITTLE_BYTES;
    const most = Math.min(page.maxEntries, isLittle ? PAGE_ENTRIES : SCRIPT_ENTRIES) + extra;
    const start = from?.place ?? '-';
    const rows = (await this.connection.run((client) =>
      isLittle
        ? client.xrange(key, start, '+', 'COUNT', most)
        : client['anynode:audit/read-outbox'](
            key,
            start,
            most,
            SCRIPT_BYTES,
            extra === 1 ? '1' : '',
          ),
    )) as OutboxRow[];
    if (from !== undefined) {
      const [first] = rows.splice(0, 1);
      if (first === undefined || placeOf(first) !== after) return { status: 'changed' };
    }
    const parsed = untilFull(rows, page.maxBytes).map((row) => {
      const { entry, isSound } = parseOutboxEntry(row);
      if (!isSound) this.sayOdd(outbox, entry.id);
      return [row[0], entry] as [string, OutboxEntry];
    });
    this.read.add(outbox, `${archiver} ${mark}`, from?.place, parsed);
    return { status: 'ok', entries: parsed.map(([, entry]) => entry) };
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
    const known = this.read.take(outbox, `${archiver} ${mark}`, place);
    // The mark is new with each call, so all tries of this call, and no other one, find it again.
    const next = randomBytes(12).toString('base64url');
    const args = [
      ...this.redisKeys.ofOutbox(outbox),
      ...[archiver, mark, next, ordinal, place, logId, sessionId],
      ...[known?.removed.length ?? '', ...(known?.removed ?? []).flat()],
      ...[...chains].flatMap(([id, state]) => [id, state ?? '']),
    ];
    const reply = await this.connection.run((client) => client['anynode:audit/acknowledge'](args));
    if (reply === 'changed' || reply === 'lost') return reply;
    this.read.keep(outbox, `${archiver} ${next}`, known?.rest ?? []);
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
