import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { requireBinary } from './binaries.js';
import { freePort } from './ports.js';
import { startOnPort, startService, type Service } from './service.js';

export interface RedisOptions {
  /** The port to listen on. Left out or 0: a free port. */
  port?: number;
  /** Further arguments of `redis-server`, e.g. `['--appendonly', 'yes']`. */
  args?: readonly string[];
  /** The folder for its files. Left out: a temporary folder, which `stop()` removes. */
  dir?: string;
}

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** The id of the process that runs now, or ran last. */
  readonly pid: number;
  /** The last part of the server's log. */
  readonly log: string;
  /** Ends the process but keeps the port's number and the files. */
  halt: (signal?: NodeJS.Signals) => Promise<void>;
  /** Starts the server again after `halt()`. Without persistence it is empty then. */
  start: () => Promise<void>;
  /** Calls `halt()`, then `start()`. */
  restart: (signal?: NodeJS.Signals) => Promise<void>;
  /** Ends the process and removes its folder. A second call is harmless. */
  stop: () => Promise<void>;
}

/**
 * Starts a `redis-server` on the loopback interface that writes nothing to disk, and waits until it answers PING.
 *
 * If it does not start, the error contains its log. If Redis is not installed, the error says what to do.
 */
export function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return startRedisOn(options, freePort);
}

/** Does the same as `startRedis`. The caller chooses the port. */
export async function startRedisOn(
  options: RedisOptions,
  choosePort: () => Promise<number>,
): Promise<RedisServer> {
  const program = requireBinary('redis-server');
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'anynode-redis-')));
  const cleanUp = async (): Promise<void> => {
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
  };
  const launch = (port: number): Promise<Service> =>
    launchRedis(program, port, dir, options.args ?? []);
  const started = await startOnPort(options.port, launch, choosePort).catch(
    async (error: unknown) => {
      await cleanUp();
      throw error;
    },
  );

  const { port } = started;
  let running = started.service;
  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return running.pid;
    },
    get log() {
      return running.output.text;
    },
    halt: async (signal = 'SIGTERM') => {
      running.kill(signal);
      await running.exited;
    },
    start: async () => {
      running = await launch(port);
    },
    restart: async (signal) => {
      await server.halt(signal);
      await server.start();
    },
    stop: async () => {
      await running.stop();
      await cleanUp();
    },
  };
  return server;
}

async function launchRedis(
  program: string,
  port: number,
  dir: string,
  args: readonly string[],
): Promise<Service> {
  const own = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dir, '--daemonize', 'no'];
  const service = await startService(program, [...own, '--save', '', ...args], {
    ready: /Ready to accept connections/,
    cwd: dir,
  });
  const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
  try {
    await client.connect();
    await client.ping();
  } catch (error) {
    await service.stop();
    throw error;
  } finally {
    client.disconnect();
  }
  return service;
}
