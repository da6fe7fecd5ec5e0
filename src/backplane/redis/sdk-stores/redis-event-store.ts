import type { JoinOptions, Position } from '../../backplane.js';
import type { ReplayPage, Replays } from '../../sdk-store-access.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { TurnsPerServer } from '../connection/fair-turns.js';
import { hashTag } from '../hash-tag.js';

export interface RedisEventStoreOptions {
  connection: CommandConnection;
  turns: TurnsPerServer;
  nodeId: string;
  prefix: string;
  retention: JoinOptions['retention'];
}

/** The events of the SDK's transports, in three keys per session, all in one slot. */
export class RedisEventStore implements Replays {
  private count = 0;

  constructor(private readonly options: RedisEventStoreOptions) {}

  async append(sessionId: string, stream: string, message: string): Promise<Position> {
    const { connection, nodeId, retention } = this.options;
    this.count += 1;
    const token = `${nodeId}:${this.count}`;
    const [n, logId] = (await connection.run((client, attempts) =>
      client['anynode:sdk-stores/replay-append'](
        ...this.keys(sessionId),
        ...[stream, message, token, attempts > 0 ? '1' : ''],
        ...[retention.maxEvents, retention.maxAgeMs, retention.maxBytes ?? ''],
      ),
    )) as [string, string];
    return { n: Number(n), logId };
  }

  async read(
    sessionId: string,
    stream: string,
    after: Position,
    maxBytes: number,
  ): Promise<ReplayPage> {
    const { connection, turns } = this.options;
    const [log, ends] = this.keys(sessionId);
    let reply: 'unknown' | 'trimmed' | string[];
    let from = '';
    do {
      const args = [log, ends, stream, after.n, after.logId, maxBytes, from];
      reply = (await turns.take(log, () =>
        connection.run((client) => client['anynode:sdk-stores/replay-read'](...args)),
      )) as typeof reply;
      from = reply[1] ?? '';
    } while (reply[0] === 'further');
    if (typeof reply === 'string') return { status: reply };
    const events = [];
    for (let at = 1; at + 2 < reply.length; at += 3) {
      const position = { n: Number(reply[at]), logId: reply[at + 1] ?? '' };
      events.push({ position, message: reply[at + 2] ?? '' });
    }
    return { status: 'ok', events, more: reply[0] === '1' };
  }

  private keys(sessionId: string): [string, string, string] {
    const log = `${this.options.prefix}:replay:${hashTag(sessionId)}`;
    return [log, `${log}:ends`, `${log}:ages`];
  }
}
