import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePortWithNeighbour } from './ports.js';
import { startRedisOn, type RedisServer } from './redis-server.js';

export interface RedisCluster {
  ports: number[];
  urls: string[];
  /** The masters, in the order of `ports`; one may be halted and started again. */
  servers: RedisServer[];
  /** Of each master in its turn, as far as they were asked for. */
  replicas: RedisServer[];
  stop: () => Promise<void>;
}

const SLOTS = 16_384;
/** Redis' own default: the cluster bus listens on the port + 10,000. */
const BUS_OFFSET = 10_000;

export interface RedisClusterOptions {
  masters: number;
  /** One for each master. Default: none. */
  replicas?: boolean;
  /** After so much silence a master is taken for dead; 2,000. */
  nodeTimeoutMs?: number;
  /** Says where the others are to reach the bus port of a master: at a proxy. */
  busPort?: (own: number) => Promise<number>;
}

/**
 * Starts a real Redis Cluster, and waits until each of them knows all others, and who replicates whom, and says
 * `cluster_state:ok`. That takes two to three seconds: a new master waits so long before it accepts writes.
 *
 * Throws if it is not formed within 20 seconds; then nothing is left running.
 */
export async function startRedisCluster(options: RedisClusterOptions): Promise<RedisCluster> {
  const { masters, nodeTimeoutMs = 2000 } = options;
  const servers: RedisServer[] = [];
  const replicas: RedisServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all([...servers, ...replicas].map((server) => server.stop()));
  };
  try {
    // One after another, so that two of them do not choose the same port.
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
      // Distinct epochs from the start: else the masters first have to settle a collision.
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
      // Redis announces nothing here, so it has to be asked.
      while (!(await isFormed(client, ports.length))) {
        if (Date.now() > deadline) throw new Error('The Redis Cluster was not formed in 20 s');
        await sleep(50);
      }
    }
    for (const [i, replica] of others.entries()) {
      await replica.cluster('REPLICATE', String(await masters[i]?.cluster('MYID')));
    }
    // A master that has not heard yet that a replica is its own ignores what that one asks for, a failover too.
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
 * Resolves when all servers are there and of one mind about who has which slots and who replicates whom, and each replica
 * is in step. Throws after 20 s.
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

/** What a server knows of all members. Empty: somebody is missing, or it is not in step with its master. */
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
