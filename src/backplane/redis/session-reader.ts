import type { LogEntry, SessionRecords } from '../backplane.js';
import { ANY_PRINCIPAL } from '../backplane.js';
import type { SessionOutboxes } from './audit/session-outboxes.js';
import type { CommandConnection } from './connection/redis-connection.js';
import { readLog } from './commands/parse-log.js';
import type { RedisKeys } from './redis-keys.js';
import { dropFromIndex } from './principal-index.js';
import { recordOf, SEAL_FIELDS, sealOf } from './commands/parse-replies.js';

/** Reads and removes stored sessions. It needs no joined backplane. */
export class SessionReader implements SessionRecords {
  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
    private readonly prefix: string,
    private readonly outboxes: SessionOutboxes,
  ) {}

  async load(sessionId: string) {
    const fields = await this.connection.run((client) =>
      client.hgetall(this.redisKeys.record(sessionId)),
    );
    const flat = Object.entries(fields).flat();
    return flat.length === 0 ? undefined : recordOf(sessionId, flat);
  }

  async identify(sessionId: string) {
    const key = this.redisKeys.record(sessionId);
    const [revision, principal, owner, ...pieces] = await this.connection.run((client) =>
      client.hmget(key, 'rev', 'pr', 'own', ...SEAL_FIELDS),
    );
    if (typeof revision !== 'string') return undefined;
    const seal = sealOf(pieces);
    return {
      ...{ principal: principal ?? '', owner: owner ?? undefined },
      ...(seal !== undefined && { seal }),
    };
  }

  async list(after: string | undefined, count: number) {
    const from = after === undefined ? '-' : `(${after}`;
    const ids = await this.connection.run((client) =>
      client.zrangebylex(this.redisKeys.sessions, from, '+', 'LIMIT', 0, count),
    );
    const next = ids.length === count ? ids.at(-1) : undefined;
    return { ids, ...(next !== undefined && { next }) };
  }

  async history(sessionId: string, after: string, count: number): Promise<LogEntry[]> {
    return this.connection.run((client) =>
      readLog(client, this.redisKeys, sessionId, after, count),
    );
  }

  async remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean> {
    return this.connection.run(async (client, attempts) => {
      const done = await client['anynode:remove'](
        ...this.redisKeys.ofSession(sessionId),
        principal === ANY_PRINCIPAL ? '1' : '',
        principal === ANY_PRINCIPAL ? '' : principal,
        this.redisKeys.channel(''),
        sessionId,
        this.outboxes.ofEnd(sessionId),
        this.outboxes.isOn ? '1' : '',
      );
      // An earlier try whose reply was lost may have removed the session.
      const removed = done === 0 && attempts > 0 ? principal : undefined;
      const of = typeof done === 'string' ? done : removed;
      if (of === undefined) return false;
      await Promise.all([
        client.zrem(this.redisKeys.sessions, sessionId),
        typeof of === 'symbol' ? undefined : dropFromIndex(client, this.prefix, of, sessionId),
      ]);
      return true;
    });
  }
}
