import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { quantiles, sharedNow, type Quantiles } from '../client/latencies.js';

/** Measures Redis itself from the same process, to compare the figures of anynode with it. */
export class Reference {
  readonly #commands: Redis;
  readonly #subscriber: Redis;
  #latencies: number[] = [];

  constructor(redisUrl: string) {
    this.#commands = new Redis(redisUrl, { lazyConnect: true });
    this.#subscriber = new Redis(redisUrl, { lazyConnect: true });
    this.#subscriber.on('message', (_, sentAt: string) => {
      this.#latencies.push(sharedNow() - Number(sentAt));
    });
  }

  /** Makes round trips, one after another. */
  async ping({ forMs }: { forMs: number }): Promise<Quantiles> {
    await this.#commands.ping(); // connects
    const latencies: number[] = [];
    const began = performance.now();
    while (performance.now() - began < forMs) {
      const start = performance.now();
      await this.#commands.ping();
      latencies.push(performance.now() - start);
    }
    return quantiles(latencies);
  }

  /** Publishes at the pace of `Mounted.notify`, so that the machine is in the same state for both. */
  async publish({ count, everyMs }: { count: number; everyMs: number }): Promise<void> {
    for (let at = 0; at < count; at += 1) {
      await this.#commands.publish(CHANNEL, String(sharedNow()));
      await sleep(everyMs);
    }
  }

  async subscribe(): Promise<void> {
    await this.#subscriber.subscribe(CHANNEL);
  }

  /** Returns the latencies of the publications that came since `subscribe`, or since the last call. */
  received(): Quantiles {
    const latencies = this.#latencies;
    this.#latencies = [];
    return quantiles(latencies);
  }
}

const CHANNEL = 'reference';
