import { AnynodeError } from '../../../protocol/errors.js';
import type { Clock } from '../../../protocol/timing/clock.js';
import { jittered } from '../../../protocol/timing/clock.js';
import { compareLogIds } from '../../backplane.js';
import type { BroadcastListener, Broadcasts } from '../../sdk-store-access.js';
import { KEPT_BROADCASTS } from '../../sdk-store-access.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import type { Subscriber } from '../connection/subscriber.js';

export interface RedisBroadcastsOptions {
  connection: CommandConnection;
  subscriber: Subscriber;
  nodeId: string;
  /** The key of the log. */
  key: string;
  /** The channel that wakes listeners. */
  channel: string;
  keptMs: number;
  clock: Clock;
}

/** Broadcasts over a log and a channel that wakes its readers. The channel is on the node's subscriber connection. */
export class RedisBroadcasts implements Broadcasts {
  private count = 0;

  constructor(private readonly options: RedisBroadcastsOptions) {}

  async publish(text: string): Promise<void> {
    const { connection, nodeId, key, channel, keptMs } = this.options;
    this.count += 1;
    const token = `${nodeId}:${this.count}`;
    await connection.run((client, attempts) =>
      client['anynode:sdk-stores/broadcast'](
        ...[key, channel, nodeId, token, attempts > 0 ? '1' : ''],
        ...[KEPT_BROADCASTS, keptMs, text],
      ),
    );
  }

  listen(listener: BroadcastListener): () => void {
    const reader = new Reader(this.options, listener);
    return () => reader.close();
  }
}

type Reply = [
  latest: string,
  time: string,
  entries: [id: string, fields: string[]][],
  more?: string,
];

/** Longer than a command takes on its way. If the command is repeated, the next try computes the time anew. */
const ON_ITS_WAY_MS = 2_000;

/** Moves along the log. It takes each message that is the next one from the channel, and reads the log otherwise. */
class Reader {
  private readonly since: number;
  /** The last id that was heard. `undefined`: nothing is known of the log yet. */
  private last: string | undefined;
  private reading = false;
  /** True if a message arrived while the log was being read. */
  private again = false;
  private closed = false;
  private cancelRetry: (() => void) | undefined;
  private readonly unsubscribe: () => void;

  constructor(
    private readonly options: RedisBroadcastsOptions,
    private readonly listener: BroadcastListener,
  ) {
    this.since = options.clock.elapsed();
    this.unsubscribe = options.subscriber.add({
      channel: options.channel,
      onMessage: (text) => this.heard(text),
      // Earlier messages did not wake this node.
      onSubscribed: () => this.read(),
    });
  }

  close(): void {
    this.closed = true;
    this.cancelRetry?.();
    this.unsubscribe();
  }

  private heard(message: string): void {
    const end = message.indexOf('\n');
    const [version, id = '', before, from, inline] = message.slice(0, end).split(' ');
    if (version !== '1' || this.closed) return;
    const { last } = this;
    if (last === undefined || this.reading || inline !== '1') {
      this.read();
      return;
    }
    if (compareLogIds(id, last) <= 0) return;
    const known = before === '-' || before === last;
    if (!known) {
      this.read();
      return;
    }
    this.last = id;
    if (from !== this.options.nodeId) this.listener.onText(message.slice(end + 1));
  }

  private read(): void {
    this.again = this.reading;
    if (this.reading || this.closed) return;
    this.reading = true;
    this.cancelRetry?.();
    const { connection, key, clock } = this.options;
    connection
      .run((client) => {
        const ago = this.last === undefined ? clock.elapsed() - this.since + ON_ITS_WAY_MS : '';
        return client['anynode:sdk-stores/heard'](key, this.last ?? '', ago) as Promise<Reply>;
      })
      .then(
        (reply) => {
          this.reading = false;
          if (this.closed) return;
          this.take(reply);
          if (this.again || reply[3] === '1') this.read();
        },
        (error: unknown) => {
          this.reading = false;
          const left = error instanceof AnynodeError && error.code === 'closed';
          if (this.closed || left) return;
          // A new subscription reads too, but the failure may concern only the connection for commands.
          this.cancelRetry = clock.after(jittered(1000, clock), () => this.read());
        },
      );
  }

  private take([latest, time, entries]: Reply): void {
    const { last, since, options } = this;
    // The server's time when this reader began, or a moment earlier, so that no event is missed. It is in whole milliseconds
    // like log ids, so that events of the same millisecond are included.
    const from =
      last === undefined ? Math.floor(Number(time) - (options.clock.elapsed() - since)) : 0;
    // The log ends before the last id heard, so a failover has lost its end. Later events are read as new. If the clock of the
    // new master is behind, events since the failover may have ids before the last one heard. Those are missing from the
    // entries.
    if (last !== undefined && isBehind(latest, last)) this.listener.onGap();
    this.last = latest;
    let before = last;
    for (const [id, flat] of entries) {
      if (parseInt(id) < from) continue;
      const fields = new Map<string, string>();
      for (let at = 0; at + 1 < flat.length; at += 2)
        fields.set(flat[at] ?? '', flat[at + 1] ?? '');
      const previous = fields.get('b') ?? '';
      const known = before === undefined || previous === '' || previous === before;
      if (!known) this.listener.onGap();
      before = id;
      if (fields.get('f') !== options.nodeId) this.listener.onText(fields.get('t') ?? '');
    }
  }
}

/** True if the log ends before the last id heard. A log that has expired is not behind: nothing is missing then. */
function isBehind(latest: string, last: string): boolean {
  return latest !== '0-0' && compareLogIds(latest, last) < 0;
}
