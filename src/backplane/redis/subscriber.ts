import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Clock } from '../../protocol/clock.js';
import { jittered } from '../../protocol/clock.js';

export interface SubscriberOptions {
  channel: string;
  /** How to connect; with a cluster one of its nodes, another each time it is asked. */
  target(): RedisOptions | undefined;
  onMessage(text: string): void;
  /** Subscribed, again: what was published meanwhile is lost. */
  onSubscribed(): void;
  clock: Clock;
}

/** Anything that goes wrong ends the connection; {@link Subscriber} then makes a new one and says so. */
const OPTIONS = {
  keyPrefix: '',
  lazyConnect: true,
  enableReadyCheck: false,
  autoResubscribe: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
};

/** The node's one subscriber connection. It is made again, elsewhere where it can, whenever it ends. */
export class Subscriber {
  private client: Redis | undefined;
  private cancelRetry: (() => void) | undefined;
  private closed = false;
  private failures = 0;
  subscribed = false;

  constructor(private readonly options: SubscriberOptions) {
    this.connect();
  }

  /** Ends the connection, which brings a new one: for when it is found connected but deaf. */
  renew(): void {
    this.drop();
  }

  close(): void {
    this.closed = true;
    this.cancelRetry?.();
    this.client?.disconnect();
  }

  private connect(): void {
    const target = this.options.target();
    if (target === undefined) {
      this.retry();
      return;
    }
    const client = new Redis({
      ...target,
      ...OPTIONS,
      replyMapping: target.replyMapping ?? 'legacy',
    });
    this.client = client;
    client.on('error', () => undefined); // `end` follows, and there we try again
    client.on('end', () => {
      if (this.client === client) this.drop();
    });
    client.on('message', (_channel: string, text: string) => {
      if (this.client === client) this.options.onMessage(text);
    });
    void client
      .connect()
      .then(() => client.subscribe(this.options.channel))
      .then(
        () => {
          if (this.client !== client) return;
          this.subscribed = true;
          this.failures = 0;
          this.options.onSubscribed();
        },
        () => {
          if (this.client === client) this.drop();
        },
      );
  }

  private drop(): void {
    this.subscribed = false;
    const { client } = this;
    this.client = undefined;
    // One that has ended would start a timer that nothing stops, and keep the process alive for two seconds.
    if (client !== undefined && client.status !== 'end') client.disconnect();
    this.retry();
  }

  private retry(): void {
    if (this.closed || this.cancelRetry !== undefined) return;
    this.failures += 1;
    this.cancelRetry = this.options.clock.after(
      jittered(Math.min(50 * this.failures, 1000), this.options.clock),
      () => {
        this.cancelRetry = undefined;
        if (!this.closed) this.connect();
      },
    );
  }
}
