import type { Connections } from './connection.js';
import { cpuTime, quantiles, type Quantiles } from './latencies.js';
import { callEcho, deleteSession, openSession, type Session } from './mcp.js';

export interface Load extends Quantiles {
  count: number;
  seconds: number;
  /** Of this process, in microseconds. Near `seconds`, it is this side that is measured. */
  clientCpu: number;
}

export interface CallOptions {
  /** The worker at place `i` calls the one at place `i`, and begins again where there are fewer. */
  urls: string[];
  concurrency: number;
  /** Goes on for so long; left out: until each session has made one call. */
  forMs?: number;
  /** Calls per second, at even intervals, all workers together. Left out: as fast as they are answered. */
  rate?: number;
}

/** Runs workers until none of them has anything left to do; each notes the milliseconds of what it did. */
export async function measure(
  workers: number,
  work: (at: number, latencies: number[]) => Promise<void>,
): Promise<Load> {
  const latencies: number[] = [];
  const [began, cpu] = [performance.now(), cpuTime()];
  await Promise.all(Array.from({ length: workers }, (_, at) => work(at, latencies)));
  const seconds = (performance.now() - began) / 1000;
  const clientCpu = cpuTime() - cpu;
  return { count: latencies.length, seconds, clientCpu, ...quantiles(latencies) };
}

/** Sessions that are used together. */
export class Crowd {
  readonly sessions: Session[] = [];
  readonly #connections: Connections;

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  get first(): Session {
    const [first] = this.sessions;
    if (first === undefined) throw new Error('There is no session');
    return first;
  }

  /** Handshakes, one after another on each of so many connections. */
  open(url: string, count: number, concurrency: number): Promise<Load> {
    let left = count;
    return measure(concurrency, (_, latencies) =>
      this.#connections.with(url, async (connection) => {
        while (left > 0) {
          left -= 1;
          const began = performance.now();
          this.sessions.push(await openSession(connection));
          latencies.push(performance.now() - began);
        }
      }),
    );
  }

  /** `tools/call`; the workers share the sessions out among themselves. */
  call({ urls, concurrency, forMs, rate }: CallOptions): Promise<Load> {
    const { sessions } = this;
    const began = performance.now();
    const intervalMs = rate === undefined ? 0 : (1000 * concurrency) / rate;
    return measure(concurrency, async (at, latencies) => {
      const url = urls[at % urls.length] ?? '';
      await this.#connections.with(url, async (connection) => {
        let due = began + (intervalMs * at) / concurrency;
        for (let next = at; ; next += concurrency) {
          const session = sessions[forMs === undefined ? next : next % sessions.length];
          const overdue = forMs !== undefined && performance.now() - began >= forMs;
          if (session === undefined || overdue) break;
          if (intervalMs > 0) {
            await until(due);
            due += intervalMs;
          }
          const start = performance.now();
          await callEcho(connection, session);
          latencies.push(performance.now() - start);
        }
      });
    });
  }

  /** DELETE of all of them; afterwards the crowd is empty. */
  async end(url: string): Promise<void> {
    await Promise.all(
      Array.from({ length: 16 }, () =>
        this.#connections.with(url, async (connection) => {
          for (let next = this.sessions.pop(); next !== undefined; next = this.sessions.pop()) {
            await deleteSession(connection, next);
          }
        }),
      ),
    );
  }
}

function until(due: number): Promise<void> | undefined {
  const left = due - performance.now();
  // A timer may come a millisecond early.
  return left < 1 ? undefined : new Promise((resolve) => setTimeout(resolve, left));
}
