import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Clock } from '../../../protocol/timing/clock.js';
import { jittered } from '../../../protocol/timing/clock.js';
import { isTransient } from './retryable-replies.js';

export interface SubscriberOptions {
  channel: string;
  /** Returns the server to connect to. In a cluster it returns another one each time. */
  target(): RedisOptions | undefined;
  onMessage(text: string): void;
  /** Called after each subscribing. Messages that were published before may be lost. */
  onSubscribed(): void;
  /** Called each time the server refuses to subscribe, for another reason than that it cannot do so for now. */
  onRefused(message: string): void;
  clock: Clock;
}

/** An additional channel on the same connection. */
export interface Subscription {
  channel: string;
  onMessage(text: string): void;
  /** Called after each subscribing. Messages that were published before may be lost. */
  onSubscribed(): void;
}

/** Any error ends the connection. Then {@link Subscriber} makes a new one and calls `onSubscribed`. */
const OPTIONS = {
  keyPrefix: '',
  lazyConnect: true,
  enableReadyCheck: false,
  autoResubscribe: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
};

/** The node's only subscriber connection. Whenever it ends, a new one is made, to another server if there are several. */
export class Subscriber {
  private client: Redis | undefined;
  private cancelRetry: (() => void) | undefined;
  private closed = false;
  private failures = 0;
  private readonly added = new Set<Subscription>();
  subscribed = false;
  /** Why the server has refused the last attempt to subscribe, if it has. */
  refused: string | undefined;

  constructor(private readonly options: SubscriberOptions) {
    this.connect();
  }

  /** Subscribes to an additional channel, until the returned function is called. */
  add(subscription: Subscription): () => void {
    this.added.add(subscription);
    if (this.client !== undefined && this.subscribed) this.subscribeTo(this.client, subscription);
    return () => {
      this.added.delete(subscription);
      const others = [...this.added].some(({ channel }) => channel === subscription.channel);
      if (others || this.client === undefined || !this.subscribed) return;
      // If this fails, the subscription ends with the connection.
      this.client.unsubscribe(subscription.channel).catch(() => undefined);
    };
  }

  /** Replaces the connection, after it was found connected but deaf. */
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
    client.on('error', () => undefined); // `end` follows, whose listener retries
    client.on('end', () => {
      if (this.client === client) this.drop();
    });
    client.on('message', (channel: string, text: string) => {
      if (this.client !== client) return;
      if (channel === this.options.channel) this.options.onMessage(text);
      else for (const added of this.added) if (added.channel === channel) added.onMessage(text);
    });
    let added: Subscription[] = [];
    void client
      .connect()
      .then(() => {
        added = [...this.added];
        return client.subscribe(this.options.channel, ...added.map(({ channel }) => channel));
      })
      .then(
        () => {
          if (this.client !== client) return;
          this.subscribed = true;
          this.refused = undefined;
          this.failures = 0;
          this.options.onSubscribed();
          for (const one of added) one.onSubscribed();
          // These channels were added while the connection was being made.
          for (const one of this.added) if (!added.includes(one)) this.subscribeTo(client, one);
        },
        (error: unknown) => {
          if (this.client !== client) return;
          this.noteRefusal(error);
          this.drop();
        },
      );
  }

  /** A connection that broke is no refusal, and neither is a server that is loading. */
  private noteRefusal(error: unknown): void {
    if (!(error instanceof Error) || error.name !== 'ReplyError' || isTransient(error)) return;
    this.refused = error.message;
    this.options.onRefused(error.message);
  }

  private subscribeTo(client: Redis, subscription: Subscription): void {
    client.subscribe(subscription.channel).then(
      () => {
        if (this.client === client) subscription.onSubscribed();
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
    // To disconnect an ended client would start a timer that nothing stops, and keep the process alive for two seconds.
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
