import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { requireBinary } from '../rig/binaries.js';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { startOnPort, startService, type Service } from '../rig/service.js';

export const MASTER_NAME = 'anynode';

export interface Sentinels {
  /** The ports of the sentinels. */
  ports: number[];
  master: RedisServer;
  replica: RedisServer;
  /** Asks the first sentinel for the port of the master on which the sentinels agree. */
  masterPort: () => Promise<number>;
  stop: () => Promise<void>;
}

const COUNT = 3;

/**
 * Starts a real master, its replica and three sentinels. The sentinels know each other, and act after half a second of
 * silence.
 */
export async function startSentinels(): Promise<Sentinels> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    stops.push(() => master.stop());
    const replicaOf = ['--replicaof', '127.0.0.1', `${master.port}`];
    const replica = await startRedis({ args: [...replicaOf, '--repl-diskless-sync-delay', '0'] });
    stops.push(() => replica.stop());
    const ports: number[] = [];
    for (let at = 0; at < COUNT; at += 1) {
      const { port, stop: end } = await startSentinel(master.port);
      ports.push(port);
      stops.push(end);
    }
    await Promise.all(ports.map((port) => ask(port, knowsAll)));
    const masterPort = (): Promise<number> => ask(ports[0] ?? 0, addressOfMaster);
    return { ports, master, replica, masterPort, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startSentinel(
  masterPort: number,
): Promise<{ port: number; stop: () => Promise<void> }> {
  const program = requireBinary('redis-server');
  const dir = await mkdtemp(join(tmpdir(), 'anynode-sentinel-'));
  const { port, service } = await startOnPort(undefined, async (port): Promise<Service> => {
    // The sentinel writes what it learns into this file.
    const file = join(dir, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 500`,
      `sentinel failover-timeout ${MASTER_NAME} 5000`,
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    return startService(program, [file, '--sentinel'], { ready: /\+monitor master/, cwd: dir });
  });
  const stop = async (): Promise<void> => {
    await service.stop();
    await rm(dir, { recursive: true, force: true });
  };
  return { port, stop };
}

/**
 * Waits until a sentinel knows the others and the replica. Sentinels find each other by messages every two seconds, and do
 * not report that, so it asks repeatedly.
 */
async function knowsAll(sentinel: Redis): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const others = (await sentinel.call('SENTINEL', 'SENTINELS', MASTER_NAME)) as unknown[];
    const replicas = (await sentinel.call('SENTINEL', 'REPLICAS', MASTER_NAME)) as string[][];
    const linked = replicas.some((fields) => flat(fields).get('master-link-status') === 'ok');
    if (others.length === COUNT - 1 && linked) return;
    if (Date.now() > deadline) throw new Error('The sentinels did not find each other in 20 s');
    await sleep(50);
  }
}

async function addressOfMaster(sentinel: Redis): Promise<number> {
  const address = (await sentinel.call(
    'SENTINEL',
    'GET-MASTER-ADDR-BY-NAME',
    MASTER_NAME,
  )) as string[];
  return Number(address[1]);
}

function flat(fields: string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (let at = 0; at + 1 < fields.length; at += 2) map.set(fields[at] ?? '', fields[at + 1] ?? '');
  return map;
}

async function ask<T>(port: number, question: (sentinel: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(port, '127.0.0.1', { enableReadyCheck: false });
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}
