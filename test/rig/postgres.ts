import { execFile } from 'node:child_process';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { requirePostgres } from './binaries.js';
import {
  startOnPort,
  startService,
  StartError,
  type Service,
  type ServiceUser,
} from './service.js';

const run = promisify(execFile);

export interface PostgresServerOptions {
  /** Further settings, e.g. `{ max_connections: '10' }`. */
  settings?: Record<string, string>;
  /** True: what was committed outlives a crash of the machine, too. Default: it outlives a crash of the server only. */
  fsync?: boolean;
}

export interface PostgresServer {
  readonly port: number;
  /** The URL of the database `postgres`, with its superuser. */
  readonly url: string;
  /** The last part of the server's log. */
  readonly log: string;
  /** Creates an empty database and returns its URL. */
  createDatabase: () => Promise<string>;
  /**
   * Ends all processes of the server, which does not write anything more to disk. The next start has to recover.
   */
  kill: () => Promise<void>;
  /** Starts the server again after `kill()`, on the same port and with the same files. */
  start: () => Promise<void>;
  /** Ends the server and removes its folder. A second call is harmless. */
  stop: () => Promise<void>;
}

const PASSWORD = 'secret';

/**
 * Starts a PostgreSQL on the loopback interface, with files in a temporary folder, and waits until it accepts connections.
 *
 * PostgreSQL refuses to run as root. For root it runs as the user `postgres`, or `nobody` if there is none. It ends with this
 * process, as each service does.
 */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const program = requirePostgres('postgres');
  const user = await ordinaryUser();
  const dir = await mkdtemp(join(tmpdir(), 'anynode-postgres-'));
  const cleanUp = (): Promise<void> => rm(dir, { recursive: true, force: true, maxRetries: 10 });
  const data = join(dir, 'data');
  const launch = (port: number): Promise<Service> =>
    startService(program, ['-D', data, ...settingsOf(port, options)], {
      ready: /database system is ready to accept connections/,
      cwd: dir,
      user,
    });
  const started = await (async () => {
    if (user) await chown(dir, user.uid, user.gid);
    await initialize(data, dir, user);
    return startOnPort(undefined, launch);
  })().catch(async (error: unknown) => {
    await cleanUp();
    throw error;
  });

  const { port } = started;
  let running = started.service;
  let databases = 0;
  const urlOf = (database: string) =>
    `postgres://postgres:${PASSWORD}@127.0.0.1:${port}/${database}`;
  const server: PostgresServer = {
    port,
    url: urlOf('postgres'),
    get log() {
      return running.output.text;
    },
    createDatabase: async () => {
      const name = `test_${++databases}`;
      await queryPostgres(server.url, `CREATE DATABASE ${name}`);
      return urlOf(name);
    },
    kill: async () => {
      // The signal of an immediate shutdown. After SIGKILL, processes of the server would live on for a while.
      running.kill('SIGQUIT');
      await running.exited;
    },
    start: async () => {
      running = await launch(port);
    },
    stop: async () => {
      await server.kill();
      await cleanUp();
    },
  };
  return server;
}

/** Runs one statement on a connection of its own, and returns the rows. */
export async function queryPostgres<Row extends object = Record<string, unknown>>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

function settingsOf(
  port: number,
  { settings = {}, fsync = false }: PostgresServerOptions,
): string[] {
  const all = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    // No socket beside the port.
    unix_socket_directories: '',
    fsync: fsync ? 'on' : 'off',
    shared_buffers: '32MB',
    max_connections: '40',
    ...settings,
  };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Makes the files of a server with the superuser `postgres`. */
async function initialize(data: string, cwd: string, user: ServiceUser | undefined): Promise<void> {
  const program = requirePostgres('initdb');
  const passwordFile = join(cwd, 'password');
  const args = [
    ...['-D', data, '--username', 'postgres', '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale', 'C', '--no-sync', '--no-instructions'],
  ];
  await writeFile(passwordFile, PASSWORD);
  await run(program, args, { ...user, cwd }).catch((error: unknown) => {
    throw new StartError(program, 'failed', String((error as { stderr?: string }).stderr));
  });
}

/** For root: an ordinary user. For others: `undefined`. */
async function ordinaryUser(): Promise<ServiceUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const idsOf = async (name: string): Promise<ServiceUser> => {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  };
  return idsOf('postgres').catch(() => idsOf('nobody'));
}
