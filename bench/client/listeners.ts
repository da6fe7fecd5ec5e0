import { Connection } from './connection.js';
import { EventReader } from './event-reader.js';
import { quantiles, sharedNow, type Quantiles } from './latencies.js';
import { listenRequest, type Session } from './mcp.js';

export interface Heard extends Quantiles {
  /** Milliseconds until the last message. */
  last: number;
  /** Messages per second, from `since` to the last. */
  rate: number;
}

const TIMEOUT_MS = 60_000;

/** Open GET streams, and the messages that have come on them. */
export class Listeners {
  readonly #connections: Connection[] = [];
  /** When each message came, and when it was sent, if the message says so. */
  #arrivals: { at: number; sentAt: number | undefined }[] = [];
  #onArrival: (() => void) | undefined;
  #cursor: string | undefined;
  #broken: Error | undefined;

  /** The event id of the last message. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /**
   * Opens the streams, and resolves when all are open. The session with index `i` listens at the URL with index `i`. If
   * there are fewer URLs, the index starts again at 0.
   */
  async open(sessions: readonly Session[], urls: readonly string[]): Promise<void> {
    let next = 0;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let at = next++; at < sessions.length; at = next++) {
          await this.#listen(sessions[at] as Session, urls[at % urls.length] ?? '');
        }
      }),
    );
  }

  /**
   * Resolves when `count` messages have come since the last call. The time of a message counts from the moment at which it
   * was sent, if the message says so. Otherwise it counts from `since`.
   */
  async heard(count: number, since: number): Promise<Heard> {
    await this.#until(count);
    const arrivals = this.#arrivals.splice(0, count);
    const times = arrivals.map(({ at, sentAt = since }) => at - sentAt);
    const rate = (1000 * count) / ((arrivals.at(-1)?.at ?? Number.NaN) - since);
    return { last: Math.max(...times), rate, ...quantiles(times) };
  }

  close(): void {
    for (const connection of this.#connections.splice(0)) connection.close();
  }

  async #listen(session: Session, url: string): Promise<void> {
    const connection = await Connection.open(url);
    this.#connections.push(connection);
    const reader = new EventReader(({ id, data }) => {
      const sentAt = /"sentAt":([\d.]+)/.exec(data)?.[1];
      this.#cursor = id;
      const arrival = {
        at: sharedNow(),
        sentAt: sentAt === undefined ? undefined : Number(sentAt),
      };
      this.#arrivals.push(arrival);
      this.#onArrival?.();
    });
    await new Promise<void>((resolve, reject) => {
      const ended = (why: string): void => {
        this.#broken = new Error(`A GET stream ended: ${why}`);
        reject(this.#broken);
        this.#onArrival?.();
      };
      connection
        .send(listenRequest(session, undefined), {
          onHead: (status) => {
            if (status === 200) resolve();
          },
          onText: (text) => reader.push(text),
        })
        .then(
          ({ status }) => ended(`status ${status}`),
          (error: unknown) => ended(String(error)),
        );
    });
  }

  #until(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`Of ${count} messages ${this.#arrivals.length} came in ${TIMEOUT_MS} ms`));
      }, TIMEOUT_MS);
      const look = (): void => {
        if (this.#broken === undefined && this.#arrivals.length < count) return;
        clearTimeout(timer);
        this.#onArrival = undefined;
        if (this.#broken === undefined) resolve();
        else reject(this.#broken);
      };
      this.#onArrival = look;
      look();
    });
  }
}
