import type { Cluster, Redis } from 'ioredis';
import type { Clock } from '../../protocol/timing/clock.js';
import type { ANY_PRINCIPAL, LogEntry } from '../backplane.js';
import type { Lease, Lifetime, Observation, RedisInfo } from '../observation.js';
import { RedisOutboxes } from './audit/redis-outboxes.js';
import { SessionOutboxes } from './audit/session-outboxes.js';
import { parseLeaseInfo } from './lease-info.js';
import { keyPrefixOf } from './connection/own-client.js';
import { CommandConnection } from './connection/redis-connection.js';
import { readFirst, readLog, readLogBefore } from './commands/parse-log.js';
import { lookAtServer } from './connection/server-info.js';
import { RedisKeys } from './redis-keys.js';
import { recordOf } from './commands/parse-replies.js';
import { SessionReader } from './session-reader.js';
import { parseStreamsHash } from './streams-hash.js';

export interface RedisObservationOptions {
  redis: string | Redis | Cluster;
  prefix: string;
  clock: Clock;
  commandTimeoutMs: number;
  logger: { warn(message: string): void };
}

/** How many keys one step of a sweep looks at. Redis needs well under a millisecond for that. */
const SWEEP_KEYS = 1000;

/** The reply of `PTTL` for a missing key. */
const GONE = -2;

/** Reads sessions and nodes without being a node, over one connection (in a cluster one per master). */
export class RedisObservation implements Observation {
  readonly audit: RedisOutboxes;
  private readonly connection: CommandConnection;
  private readonly redisKeys: RedisKeys;
  private readonly sessionReader: SessionReader;

  constructor({ redis, prefix, clock, commandTimeoutMs, logger }: RedisObservationOptions) {
    const outer = typeof redis === 'string' ? '' : keyPrefixOf(redis);
    const inner = `${outer}${prefix}`;
    this.connection = new CommandConnection(redis, {
      ...{ clock, logger, timeoutMs: commandTimeoutMs, observes: true as const },
      onReady: () => undefined,
      onNodeLost: () => undefined,
    });
    this.redisKeys = new RedisKeys(inner, this.connection.database);
    const outboxes = new SessionOutboxes(this.connection, this.redisKeys, { clock });
    this.sessionReader = new SessionReader(this.connection, this.redisKeys, inner, outboxes);
    this.audit = new RedisOutboxes(this.connection, this.redisKeys, { clock, logger });
  }

  load(sessionId: string) {
    return this.sessionReader.load(sessionId);
  }

  list(after: string | undefined, count: number) {
    return this.sessionReader.list(after, count);
  }

  history(sessionId: string, after: string, count: number) {
    return this.sessionReader.history(sessionId, after, count);
  }

  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL) {
    return this.sessionReader.remove(sessionId, principal);
  }

  listed(): Promise<number> {
    return this.connection.run((client) => client.zcard(this.redisKeys.sessions));
  }

  async now(): Promise<number> {
    const [seconds, microseconds] = await this.connection.run((client) => client.time());
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  }

  async sweep(from?: string): Promise<{ nodeIds: string[]; next?: string }> {
    const [at = '', cursor = '0'] = (from ?? '').split(' ');
    return this.connection.run(async () => {
      const servers = this.connection
        .masters()
        .map((server) => ({ server, name: `${server.options.host}:${server.options.port}` }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      // The server of the last step may be gone. Then continue with the next server.
      const index = servers.findIndex(({ name }) => name >= at);
      const found = servers[index];
      if (found === undefined) return { nodeIds: [] };
      const start = found.name === at ? cursor : '0';
      const [next, keys] = await found.server.scan(
        ...([start, 'MATCH', this.redisKeys.anyNode, 'COUNT', SWEEP_KEYS] as const),
      );
      const nodeIds = keys.map((key) => this.redisKeys.nodeIdOf(key));
      if (next !== '0') return { nodeIds, next: `${found.name} ${next}` };
      const following = servers[index + 1];
      return { nodeIds, ...(following !== undefined && { next: `${following.name} 0` }) };
    });
  }

  servers(): Promise<RedisInfo[]> {
    return this.connection.run(() =>
      Promise.all(this.connection.masters().map((server) => lookAtServer(server))),
    );
  }

  async leases(nodeIds: string[]): Promise<Lease[]> {
    const found = await this.connection.run((client) =>
      Promise.all(
        nodeIds.map(async (nodeId) => {
          const key = this.redisKeys.node(nodeId);
          const [leftMs, value] = await Promise.all([client.pttl(key), client.get(key)]);
          if (leftMs === GONE || value === null) return undefined;
          return { nodeId, leftMs, about: parseLeaseInfo(value) };
        }),
      ),
    );
    return found.filter((lease) => lease !== undefined);
  }

  async sessions(ids: string[]) {
    const all = await this.connection.run((client) =>
      Promise.all(ids.map((id) => client.hgetall(this.redisKeys.record(id)))),
    );
    return all.map((fields, at) => {
      const flat = Object.entries(fields).flat();
      return flat.length === 0 ? undefined : recordOf(ids[at] ?? '', flat);
    });
  }

  async tables(ids: string[]) {
    const all = await this.connection.run((client) =>
      Promise.all(ids.map((id) => client.hgetall(this.redisKeys.streams(id)))),
    );
    return all.map(parseStreamsHash);
  }

  async lifetime(id: string): Promise<Lifetime | undefined> {
    const [record, streams, log] = this.redisKeys.ofSession(id);
    return this.connection.run(async (client): Promise<Lifetime | undefined> => {
      const [leftMs, logged, start] = await Promise.all([
        client.pttl(record),
        client.hget(streams, 'bytes'),
        readFirst(client, this.redisKeys, id),
      ]);
      if (leftMs === GONE) return undefined;
      const [events, first, last] = start
        ? [start.length, start[0], start.at(-1)]
        : await Promise.all([
            client.xlen(log),
            client.xrange(log, '-', '+', 'COUNT', 1).then(([entry]) => entry),
            client.xrevrange(log, '+', '-', 'COUNT', 1).then(([entry]) => entry),
          ]);
      const before = first === undefined ? 0 : offsetOf(first[1]);
      return {
        ...{ leftMs, events },
        bytes: first === undefined ? 0 : Number(logged ?? 0) - before,
        ...(first !== undefined && { oldest: first[0] }),
        ...(last !== undefined && { newest: last[0] }),
      };
    });
  }

  async histories(from: { id: string; after: string; count: number }[]): Promise<LogEntry[][]> {
    return this.connection.run((client) =>
      Promise.all(
        from.map(({ id, after, count }) => readLog(client, this.redisKeys, id, after, count)),
      ),
    );
  }

  async historyBefore(id: string, before: string, count: number): Promise<LogEntry[]> {
    return this.connection.run((client) =>
      readLogBefore(client, this.redisKeys, id, before, count),
    );
  }

  close(): void {
    this.connection.close();
  }
}

/** Returns how many bytes had been logged before an entry. */
function offsetOf(flat: string[]): number {
  for (let at = 0; at + 1 < flat.length; at += 2) if (flat[at] === 'o') return Number(flat[at + 1]);
  return 0;
}
