import { Cluster, Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { ANY_PRINCIPAL, LOG_START, STANDALONE } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { defineScripts } from '../../src/backplane/redis/commands/scripts.js';
import { useFileRedisCluster } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeBackplane } from './suite/describe-backplane.js';
import { append, eventually, open, TestNode } from './suite/rig.js';

const own = useFileRedisCluster();

describeBackplane('Redis Cluster', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: own.client, prefix }),
    close: () => Promise.resolve(),
  });
});

// Without hash tags, the first script on a cluster would fail with CROSSSLOT.
it('keeps all keys of a session in one slot, and spreads sessions over the masters', async () => {
  const prefix = uniquePrefix();
  const node = new TestNode(redisBackplane({ redis: own.client, prefix }));
  const admin = new Cluster(own.servers.urls);
  try {
    await node.backplane.ready();
    const slots = new Set<number>();
    for (let at = 0; at < 10; at += 1) {
      const id = await node.create();
      await node.run(id, open('p', ['1']), append(STANDALONE, 'news'));
      const perMaster = await Promise.all(
        admin.nodes('master').map((master) => master.keys(`${prefix}:{${id}}*`)),
      );
      const keys = perMaster.flat();
      expect(keys).toHaveLength(3);
      const found = await Promise.all(keys.map((key) => admin.cluster('KEYSLOT', key)));
      expect(new Set(found).size).toBe(1);
      for (const slot of found) slots.add(slot);
    }
    expect(slots.size).toBeGreaterThan(1);
  } finally {
    admin.disconnect();
    await node.backplane.leave();
  }
});

it('returns the ends of streams of sessions on all masters, and none for missing or malformed sessions', async () => {
  const prefix = uniquePrefix();
  const node = new TestNode(redisBackplane({ redis: own.client, prefix }));
  const admin = new Cluster(own.servers.urls);
  try {
    await node.backplane.ready();
    const ids = await Promise.all(Array.from({ length: 20 }, () => node.create()));
    const [quiet = '', gone = '', odd = '', ...others] = ids;
    for (const id of others) await node.run(id, open('p', ['1']), append(STANDALONE, 'news'));
    await node.backplane.remove(gone, ANY_PRINCIPAL);
    await admin.del(`${prefix}:{${odd}}:streams`);
    await admin.set(`${prefix}:{${odd}}:streams`, 'text');
    const streams = [STANDALONE, 'p'];
    const ends = await node.backplane.ends?.(ids.map((sessionId) => ({ sessionId, streams })));
    expect(ends).toHaveLength(20);
    const endOf = (id: string) => ends?.[ids.indexOf(id)];
    expect(endOf(quiet)).toEqual([0, undefined]);
    for (const id of [gone, odd]) expect(endOf(id)).toEqual([undefined, undefined]);
    for (const id of others) expect(endOf(id)).toEqual([1, 0]);
  } finally {
    admin.disconnect();
    await node.backplane.leave();
  }
});

// A master of a cluster did not answer. Reads of the sessions of other masters waited behind those of its sessions, and were
// refused together with them.
it('reads the logs of sessions on the other masters while one master does not answer', async () => {
  const options = { commandTimeoutMs: 400 };
  const node = new TestNode(redisBackplane({ redis: own.client, prefix: uniquePrefix() }), options);
  const [silent] = own.servers.servers;
  const pausing = new Redis(silent?.url ?? '');
  const read = async (sessionId: string) => {
    const after = { n: 0, logId: LOG_START };
    const page = await node.backplane.read({
      sessionId,
      stream: STANDALONE,
      after,
      maxBytes: 1000,
    });
    return page.status;
  };
  try {
    await node.backplane.ready();
    const ids = await Promise.all(Array.from({ length: 200 }, () => node.create()));
    const keys = await pausing.keys('*');
    const isSilent = (id: string) => keys.some((key) => key.includes(`{${id}}`));
    await pausing.client('PAUSE', 1000);
    const failing = ids.filter(isSilent).map(read);
    const others = await Promise.allSettled(ids.filter((id) => !isSilent(id)).map(read));
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toContain('rejected');
    expect(failing.length).toBeGreaterThan(32);
    expect(others).toEqual(others.map(() => ({ status: 'fulfilled', value: 'ok' })));
  } finally {
    await pausing.client('UNPAUSE');
    pausing.disconnect();
    await node.backplane.leave();
  }
});

// A client that follows no redirections takes every error for one, also the error for an unknown script.
it('sends a forgotten script again, also over a client that follows no redirections', async () => {
  const scripted = defineScripts(new Cluster(own.servers.urls, { maxRedirections: 0 }));
  try {
    const key = `${uniquePrefix()}:record`;
    await scripted.hset(key, 'rev', '1');
    const store = (value: string) =>
      scripted['anynode:state'](key, value, '', value, 'mark', 1, 60_000);
    expect(await store('known')).toBe('stored');
    await Promise.all(scripted.nodes('master').map((master) => master.script('FLUSH')));
    expect(await store('forgotten')).toBe('stored');
    expect(await scripted.hget(key, 'st')).toBe('forgotten');
  } finally {
    scripted.disconnect();
  }
});

it('has one subscriber and at most one command connection per master, and no connection when it has left', async () => {
  const admin = new Cluster(own.servers.urls);
  const connections = async () => {
    const lists = await Promise.all(
      admin.nodes('master').map(async (master) => {
        const list = (await master.client('LIST')) as string;
        return list.split('\n').filter((line) => line.includes('name=counted'));
      }),
    );
    return lists.map((lines) => ({
      commands: lines.filter((line) => line.includes(' sub=0 ')).length,
      subscribers: lines.filter((line) => line.includes(' sub=1 ')).length,
    }));
  };
  const source = new Cluster(own.servers.urls, {
    lazyConnect: true,
    redisOptions: { connectionName: 'counted' },
  });
  const node = new TestNode(redisBackplane({ redis: source, prefix: uniquePrefix() }));
  try {
    await node.backplane.ready();
    for (let at = 0; at < 10; at += 1) await node.create();
    const open = await connections();
    for (const { commands } of open) expect(commands).toBeLessThanOrEqual(1);
    expect(open.reduce((sum, { subscribers }) => sum + subscribers, 0)).toBe(1);
    await node.backplane.leave();
    await eventually(async () => {
      const left = await connections();
      expect(left).toEqual(left.map(() => ({ commands: 0, subscribers: 0 })));
    });
    expect(source.status).toBe('wait');
  } finally {
    await node.backplane.leave();
    source.disconnect();
    admin.disconnect();
  }
});
