import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { settled, type RedisCluster, type RedisServer } from '../rig/redis.js';

/** The slots of a running cluster. Moves them between servers, as an operator does. */
export class Slots {
  private readonly admins = new Map<RedisServer, Redis>();

  constructor(private readonly cluster: RedisCluster) {}

  /** Returns a connection to one of the servers. It reconnects by itself. */
  admin(server: RedisServer): Redis {
    let admin = this.admins.get(server);
    if (admin === undefined) {
      admin = new Redis(server.url);
      admin.on('error', () => undefined); // tests kill some servers
      this.admins.set(server, admin);
    }
    return admin;
  }

  close(): void {
    for (const admin of this.admins.values()) admin.disconnect();
  }

  /** Resolves when all servers agree, for instance after a failover, or when a former master has come back. */
  settled(): Promise<void> {
    const all = [...this.cluster.servers, ...this.cluster.replicas];
    return settled(all.map((server) => this.admin(server)));
  }

  /** Returns the master of a key. While its slot is moved, that is the master which the slot leaves. */
  async masterOf(key: string): Promise<RedisServer> {
    const slot = await this.slotOf(key);
    const found = await this.living(async (server) => {
      const nodes = String(await this.admin(server).cluster('NODES'));
      const own = nodes.split('\n').find((line) => line.includes('myself')) ?? '';
      return (
        own.includes('master') && rangesOf(own).some(([from, to]) => from <= slot && slot <= to)
      );
    });
    const [master] = found;
    if (master === undefined) throw new Error(`Nobody has the slot of ${key}`);
    return master;
  }

  async replicaOf(master: RedisServer): Promise<RedisServer> {
    const [replica] = await this.living(async (server) =>
      (await this.admin(server).info('replication')).includes(`master_port:${master.port}\r`),
    );
    if (replica === undefined) throw new Error('This master has no replica');
    return replica;
  }

  /** Moves the slot of a key as `redis-cli --cluster reshard` does, key by key, with a pause of `pauseMs` after each key. */
  async move(key: string, to: RedisServer, pauseMs: number): Promise<void> {
    const slot = await this.slotOf(key);
    const from = await this.masterOf(key);
    const [source, target] = [this.admin(from), this.admin(to)];
    const [sourceId, targetId] = [await source.cluster('MYID'), await target.cluster('MYID')];
    await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId);
    await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId);
    for (;;) {
      const [next] = await source.cluster('GETKEYSINSLOT', slot, 1);
      if (next === undefined) break;
      await source.migrate('127.0.0.1', to.port, '', 0, 5_000, 'KEYS', next);
      await sleep(pauseMs);
    }
    for (const each of [target, source]) {
      await each.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId);
    }
  }

  private slotOf(key: string): Promise<number> {
    const [first] = this.cluster.servers.filter((server) => this.admin(server).status !== 'end');
    if (first === undefined) throw new Error('There is no cluster');
    return this.admin(first).cluster('KEYSLOT', key);
  }

  private async living(which: (server: RedisServer) => Promise<boolean>): Promise<RedisServer[]> {
    const all = [...this.cluster.servers, ...this.cluster.replicas];
    const matches = await Promise.all(all.map((server) => which(server).catch(() => false)));
    return all.filter((_, at) => matches[at]);
  }
}

function rangesOf(line: string): [number, number][] {
  return line
    .split(' ')
    .slice(8)
    .filter((word) => /^\d/.test(word))
    .map((word) => {
      const [from = '', to = from] = word.split('-');
      return [Number(from), Number(to)];
    });
}
