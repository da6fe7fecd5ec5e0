/**
 * The outboxes of a Redis Cluster: they lie in the slots of their sessions. A move of a slot and a failover leave no entry in
 * the log without its copy, and no copy without its entry.
 */
import { randomBytes } from 'node:crypto';
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { AuditOutboxes, OutboxEntry } from '../../src/backplane/backplane.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { outboxNameOf } from '../../src/backplane/redis/audit/outbox-names.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { Slots } from '../support/slots.js';
import { ALICE, append, newSession, open, receive, TestNode } from './suite/rig.js';

let redis: RedisCluster;
let slots: Slots;
let client: Cluster;
beforeAll(async () => {
  redis = await startRedisCluster({ masters: 3, replicas: true, nodeTimeoutMs: 1_000 });
  slots = new Slots(redis);
  client = new Cluster(redis.urls, { lazyConnect: true });
}, 40_000);
afterAll(async () => {
  client.disconnect();
  slots.close();
  await redis.stop();
});

const LIMITS = { whenFull: 'refuse' as const, maxSessionBytes: 1e8, maxTotalBytes: 1e9 };
const ARCHIVER = 'archiver';

async function start(commandTimeoutMs: number) {
  await slots.settled();
  const prefix = uniquePrefix();
  const backplane = redisBackplane({ redis: client, prefix });
  const node = new TestNode(backplane, { audit: LIMITS, commandTimeoutMs });
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();
  const { audit } = node.backplane;
  if (audit === undefined) throw new Error('Redis has outboxes');
  return { node, audit, prefix };
}

/** Returns an id in the slot of another one. */
function idBeside(id: string): string {
  for (;;) {
    const other = `s-${randomBytes(8).toString('hex')}`;
    if (outboxNameOf(other) === outboxNameOf(id)) return other;
  }
}

/** Reads all that waits in an outbox. */
async function waitingIn(audit: AuditOutboxes, outbox: string): Promise<OutboxEntry[]> {
  const { mark } = await audit.claim(outbox, ARCHIVER);
  const all: OutboxEntry[] = [];
  for (;;) {
    const after = all.at(-1)?.id;
    const page = { archiver: ARCHIVER, mark, after, maxEntries: 1_000, maxBytes: 1e6 };
    const reply = await audit.readOutbox(outbox, page);
    if (reply.status !== 'ok') throw new Error(reply.status);
    if (reply.entries.length === 0) return all;
    all.push(...reply.entries);
  }
}

it('each outbox is in the slot of its sessions, and all are found', async () => {
  const { node, audit, prefix } = await start(5_000);
  const sessions = await Promise.all(Array.from({ length: 40 }, () => node.create()));
  const names = new Set(sessions.map(outboxNameOf));
  expect(new Set(await audit.outboxes())).toEqual(names);
  const admin = slots.admin(redis.servers[0] ?? expect.unreachable());
  for (const id of sessions) {
    const [ofSession, ofOutbox] = await Promise.all(
      [`${prefix}:{${id}}`, `${prefix}:audit:{${outboxNameOf(id)}}`].map((key) =>
        admin.cluster('KEYSLOT', key),
      ),
    );
    expect(ofOutbox).toBe(ofSession);
  }
  expect((await audit.waiting()).entries).toBe(3 * sessions.length);
  // Not every text in the set is the name of an outbox.
  const shared = new Cluster(redis.urls);
  onTestFinished(() => shared.disconnect());
  await shared.sadd(`${prefix}:audit:outboxes`, 'zzzzz', '}{', 'ALL', '00', ' ');
  expect(new Set(await audit.outboxes())).toEqual(names);
});

// Redis refuses a script whose keys are partly elsewhere only if it has to make one of them. So a step would have logged its
// entry here, and would have begun a second outbox there.
it.each(['the outbox first', 'the sessions first'])(
  'while a slot moves, each step is carried out with its copies or not at all: %s',
  async (order) => {
    const { node, audit, prefix } = await start(400);
    const id = await node.create();
    const outbox = outboxNameOf(id);
    const [other, removed] = [idBeside(id), idBeside(id)];
    for (const each of [other, removed]) await node.create({ id: each });
    await audit.claim(outbox, ARCHIVER);
    const key = `${prefix}:{${id}}`;
    const from = await slots.masterOf(key);
    const to = redis.servers.find((server) => server !== from) ?? expect.unreachable();
    const [source, target] = [slots.admin(from), slots.admin(to)];
    const slot = await source.cluster('KEYSLOT', key);
    let [done, refused] = [0, 0];
    const created: string[] = [];
    async function attempt(step: () => Promise<unknown>): Promise<void> {
      await step().then(
        () => (done += 1),
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'backplane_unavailable' });
          refused += 1;
        },
      );
    }
    let calls = 0;
    const call = async (each: string): Promise<void> => {
      calls += 1;
      const [stream, request] = [`p${calls}`, `${calls}`];
      await attempt(() => node.run(each, open(stream, [request])));
      await attempt(() => node.run(each, append(stream, `answer ${request}`, { ends: request })));
      await attempt(() => node.run(each, receive({ to: 'nobody' }, `news ${request}`)));
    };
    const steps = async (): Promise<void> => {
      // Finding an id keeps the processor busy for longer than a command may take, so no command waits meanwhile.
      const session = newSession({ id: idBeside(id) });
      created.push(session.id);
      const create = () => attempt(() => node.backplane.create(session));
      const end = () => attempt(() => node.backplane.remove(removed, ALICE));
      await Promise.all([call(id), call(other), create(), end()]);
    };
    await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await source.cluster('MYID'));
    await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await target.cluster('MYID'));
    for (;;) {
      await steps();
      const keys = await source.cluster('GETKEYSINSLOT', slot, 1_000);
      const isOutbox = (name: string) => name.includes(':audit:');
      const [first] = keys.sort((a, b) => {
        const sign = order === 'the outbox first' ? -1 : 1;
        return sign * (Number(isOutbox(a)) - Number(isOutbox(b)));
      });
      if (first === undefined) break;
      // The keys of a session go together, and those of the outbox one by one.
      const tag = first.slice(0, first.indexOf('}') + 1);
      const some = isOutbox(first) ? [first] : keys.filter((name) => name.startsWith(tag));
      await source.migrate('127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...some);
    }
    for (const each of [target, source]) {
      await each.call('CLUSTER', 'SETSLOT', slot, 'NODE', await target.cluster('MYID'));
    }
    const before = done;
    await expect.poll(() => node.run(id, receive({ to: 'nobody' }, 'last'))).toBeDefined();
    await steps();
    expect(done - before).toBe(8);
    expect(refused).toBeGreaterThan(0);

    const waiting = await waitingIn(audit, outbox);
    const copies = (of: string) => waiting.filter(({ sessionId }) => sessionId === of);
    for (const each of [id, other, ...created]) {
      expect(copies(each).map(({ entry }) => entry)).toEqual(await node.history(each));
    }
    expect(copies(removed).filter((entry) => entry.ended === 'deleted')).toHaveLength(1);
    const bytes = waiting.reduce(
      (sum, { entry }) => sum + 100 + Buffer.byteLength(entry.message ?? ''),
      0,
    );
    const { mark } = await audit.claim(outbox, ARCHIVER);
    const upTo = waiting.at(-1)?.id ?? '';
    expect((await audit.waiting()).bytes).toBe(bytes);
    const delivered = { archiver: ARCHIVER, mark, upTo, chains: new Map(), ordinal: 1 };
    expect(await audit.acknowledge(outbox, delivered)).toMatchObject({ ordinal: 1 });
    expect(await audit.waiting()).toEqual({ bytes: 0, entries: 0 });
  },
  60_000,
);

it('a failover loses no entry of the audit trail that the log has, and no more of the outbox than of the log', async () => {
  const { node, audit, prefix } = await start(1_000);
  const id = await node.create();
  const outbox = outboxNameOf(id);
  const delivered = new Map<string, OutboxEntry['entry']>();
  let isOver = false;
  const archiving = (async () => {
    while (!isOver) {
      try {
        const { mark, ordinal } = await audit.claim(outbox, ARCHIVER);
        const page = { archiver: ARCHIVER, mark, maxEntries: 7, maxBytes: 1e6 };
        const reply = await audit.readOutbox(outbox, page);
        const last = reply.status === 'ok' ? reply.entries.at(-1) : undefined;
        if (reply.status !== 'ok' || last === undefined) continue;
        // What is delivered stays, whatever comes of the acknowledgment.
        for (const { entry } of reply.entries) delivered.set(entry.logId, entry);
        const chains = new Map([[id, 'state']]);
        const next = ordinal + reply.entries.length;
        await audit.acknowledge(outbox, {
          ...{ archiver: ARCHIVER, mark, upTo: last.id, chains, ordinal: next },
        });
      } catch (error) {
        expect(error).toMatchObject({ code: 'backplane_unavailable' });
      }
    }
  })();
  let said = 0;
  const say = async (): Promise<boolean> => {
    said += 1;
    const step = node.say(id, STANDALONE, `news ${said}`);
    return step.then(
      () => true,
      () => false,
    );
  };
  for (let at = 0; at < 300; at += 1) await say();
  const master = await slots.masterOf(`${prefix}:{${id}}`);
  await master.halt('SIGKILL');
  onTestFinished(() => master.start());
  await expect.poll(say, { timeout: 20_000 }).toBe(true);
  for (let at = 0; at < 100; at += 1) await say();
  isOver = true;
  await archiving;

  const waiting = (await waitingIn(audit, outbox)).map(({ entry }) => entry);
  const log = await node.history(id);
  const kept = new Map([...delivered, ...waiting.map((entry) => [entry.logId, entry] as const)]);
  expect(log.length).toBeGreaterThan(100);
  expect(log.filter(({ logId }) => !kept.has(logId))).toEqual([]);
  for (const entry of log) expect(kept.get(entry.logId)).toEqual(entry);
  expect(log).toEqual(expect.arrayContaining(waiting));
}, 60_000);
