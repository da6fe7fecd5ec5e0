import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePortWithNeighbour } from './ports.js';
import { startRedisOn, type RedisServer } from './redis-server.js';

export interface RedisCluster {
  ports: number[];
  urls: string[];
  /** The masters, in the order of `ports`. A test may halt a master and start it again. */
  servers: RedisServer[];
  /** The replica of each master, in the same order, if `replicas` is set. */
  replicas: RedisServer[];
  stop: () => Promise<void>;
}

const SLOTS = 16_384;
/** The default of Redis: the cluster bus listens on the port + 10,000. */
const BUS_OFFSET = 10_000;

export interface RedisClusterOptions {
  masters: number;
  /** Whether each master has a replica. Default: false. */
  replicas?: boolean;
  /** After this time of silence, a master is taken for dead. Default: 2,000 ms. */
  nodeTimeoutMs?: number;
  /** Returns the port under which the other servers reach the bus port of a master, such as that of a proxy. */
  busPort?: (own: number) => Promise<number>;
}

/**
 * Starts a real Redis Cluster. Waits until each server knows all others, knows which server replicates which, and reports
 * `cluster_state:ok`. That takes two to three seconds, because a new master waits before it accepts writes.
 *
 * Throws if the cluster is not formed within 20 seconds. Then no server is left running.
 */
export async function startRedisCluster(options: RedisClusterOptions): Promise<RedisCluster> {
  const { masters, nodeTimeoutMs = 2000 } = options;
  const servers: RedisServer[] = [];
  const replicas: RedisServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all([...servers, ...replicas].map((server) => server.stop()));
  };
  try {
    // Start one after another, so that two servers do not choose the same port.
    for (let i = 0; i < masters; i++) {
      servers.push(await startMember(nodeTimeoutMs));
      if (options.replicas) replicas.push(await startMember(nodeTimeoutMs));
    }
    await form(
      servers.map(({ port }) => port),
      replicas.map(({ port }) => port),
      options.busPort ?? ((own) => Promise.resolve(own)),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const ports = servers.map(({ port }) => port);
  return { ports, urls: servers.map(({ url }) => url), servers, replicas, stop };
}

function startMember(nodeTimeoutMs: number): Promise<RedisServer> {
  const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'];
  const timeout = ['--cluster-node-timeout', `${nodeTimeoutMs}`, '--repl-diskless-sync-delay', '0'];
  return startRedisOn({ args: [...args, ...timeout] }, () => freePortWithNeighbour(BUS_OFFSET));
}

async function form(
  ports: readonly number[],
  replicas: readonly number[],
  busPort: (own: number) => Promise<number>,
): Promise<void> {
  const connect = (port: number): Redis => new Redis(port, '127.0.0.1');
  const [masters, others] = [ports.map(connect), replicas.map(connect)];
  const clients = [...masters, ...others];
  try {
    for (const [i, client] of masters.entries()) {
      // The masters get distinct epochs from the start. Otherwise they would first have to resolve a collision.
      await client.cluster('SET-CONFIG-EPOCH', i + 1);
      await client.cluster('ADDSLOTS', ...slotsOf(i, ports.length));
    }
    const [first] = masters;
    for (const [i, port] of [...ports, ...replicas].entries()) {
      const announced = await busPort(port + BUS_OFFSET);
      await clients[i]?.config('SET', 'cluster-announce-bus-port', announced);
      if (i > 0) await first?.call('CLUSTER', 'MEET', '127.0.0.1', port, announced);
    }

    const deadline = Date.now() + 20_000;
    for (const client of clients) {
      // Redis sends no notification of this, so ask repeatedly.
      while (!(await isFormed(client, ports.length))) {
        if (Date.now() > deadline) throw new Error('The Redis Cluster was not formed in 20 s');
        await sleep(50);
      }
    }
    for (const [i, replica] of others.entries()) {
      await replica.cluster('REPLICATE', String(await masters[i]?.cluster('MYID')));
    }
    // A master ignores requests of a replica, also for a failover, until it knows that the replica is its own.
    await settled(clients);
  } finally {
    for (const client of clients) client.disconnect();
  }
}

function slotsOf(index: number, masters: number): number[] {
  const from = Math.ceil((index * SLOTS) / masters);
  const to = Math.ceil(((index + 1) * SLOTS) / masters);
  return Array.from({ length: to - from }, (_, i) => from + i);
}

async function isFormed(client: Redis, masters: number): Promise<boolean> {
  const info = await client.cluster('INFO');
  return info.includes('cluster_state:ok') && info.includes(`cluster_size:${masters}\r`);
}

/**
 * Resolves when all servers agree on which server has which slots and which server replicates which, and each replica is up
 * to date. Throws after 20 s.
 */
export async function settled(admins: readonly Redis[]): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const views = await Promise.all(admins.map((admin) => viewOf(admin).catch(() => '')));
    const [first] = views;
    if (first !== '' && views.every((view) => view === first)) return;
    if (Date.now() > deadline) throw new Error('The Redis Cluster is not whole after 20 s');
    await sleep(50);
  }
}

/**
 * Returns what a server knows of all members. Returns an empty text if a member is missing, or if the server is a replica
 * that is not up to date.
 */
async function viewOf(admin: Redis): Promise<string> {
  const [info, replication, nodes] = await Promise.all([
    admin.cluster('INFO').then(String),
    admin.info('replication'),
    admin.cluster('NODES').then(String),
  ]);
  const inStep = !replication.includes('role:slave') || replication.includes('link_status:up');
  if (!info.includes('cluster_state:ok') || !inStep || /fail|handshake/.test(nodes)) return '';
  const members = nodes.split('\n').map((line) => {
    const [id, , flags = '', master, , , , , ...slots] = line.split(' ');
    return [id, flags.replace('myself,', ''), master, ...slots].join(' ');
  });
  return members.sort().join('\n');
}
