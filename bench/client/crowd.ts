import type { Connections } from './connection.js';
import { cpuTime, quantiles, type Quantiles } from './latencies.js';
import { callEcho, deleteSession, openSession, type EchoOptions, type Session } from './mcp.js';

export interface Load extends Quantiles {
  count: number;
  seconds: number;
  /**
   * The CPU time of this process, in microseconds. If it is close to `seconds`, the load generator itself is the
   * bottleneck.
   */
  clientCpu: number;
}

export interface CallOptions extends EchoOptions {
  /** The worker with index `i` calls the URL with index `i`. If there are fewer URLs, the index starts again at 0. */
  urls: string[];
  concurrency: number;
  /** How long the calls go on. Left out: until each session has made as many calls as `times` says. */
  forMs?: number;
  /** Default: 1. */
  times?: number;
  /**
   * Calls per second of all workers together, at even intervals. Left out: each call begins when the one before is
   * answered.
   */
  rate?: number;
}

/** Runs workers until none has anything left to do. Each notes how many milliseconds each operation took. */
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

  /** Opens sessions over `concurrency` connections. The handshakes on one connection come one after another. */
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

  /** Calls a tool in the sessions, which are shared out among the workers. */
  call({ urls, concurrency, forMs, times = 1, rate, ...echo }: CallOptions): Promise<Load> {
    const { sessions } = this;
    const began = performance.now();
    const intervalMs = rate === undefined ? 0 : (1000 * concurrency) / rate;
    return measure(concurrency, async (at, latencies) => {
      const url = urls[at % urls.length] ?? '';
      await this.#connections.with(url, async (connection) => {
        let due = began + (intervalMs * at) / concurrency;
        for (let next = at; ; next += concurrency) {
          const session = sessions[next % sessions.length];
          const isOver =
            forMs === undefined
              ? next >= sessions.length * times
              : performance.now() - began >= forMs;
          if (session === undefined || isOver) break;
          if (intervalMs > 0) {
            await until(due);
            due += intervalMs;
          }
          const start = performance.now();
          await callEcho(connection, session, echo);
          latencies.push(performance.now() - start);
        }
      });
    });
  }

  /** Sends DELETE for all sessions. Afterwards the crowd is empty. */
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
