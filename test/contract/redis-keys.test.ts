/** Which keys a session has in Redis, and when they expire. */
import { describe, expect, it } from 'vitest';
import { coalescedByUri, STANDALONE } from '../../src/backplane/backplane.js';
import { ownRedis } from './support/own-redis.js';
import {
  ALICE,
  append,
  detach,
  eventually,
  newSession,
  okay,
  open,
  receive,
  subscribe,
} from './suite/rig.js';

const own = ownRedis();

async function keys(): Promise<string[]> {
  return (await own.admin.keys(`${own.prefix}*`)).sort();
}

describe('the keys of a session', () => {
  const isIndex = (key: string) => key === `${own.prefix}:sessions`;

  // Whatever happens to the nodes, nothing may stay in Redis for ever.
  it('all have a TTL', async () => {
    const node = await own.join();
    const id = await node.create();
    const ttls = async () => {
      for (const key of await keys()) {
        if (!isIndex(key)) expect(await own.admin.pttl(key), key).toBeGreaterThan(0);
      }
    };
    await ttls();
    await node.run(id, open('p', ['1']), append(STANDALONE, 'news', { coalesce: 'x' }));
    await ttls();
    await node.hold(id, STANDALONE);
    await node.backplane.storeState(id, '1', undefined);
    await ttls();
    await node.run(id, receive({ to: 'initialized' }), append('p', 'answer', { ends: '1' }));
    await node.backplane.touch([{ sessionId: id, streams: [] }]);
    await ttls();
    expect(await keys()).toEqual(
      [
        `${own.prefix}:node:${node.id}`,
        `${own.prefix}:sessions`,
        `${own.prefix}:{${id}}`,
        `${own.prefix}:{${id}}:events`,
        `${own.prefix}:{${id}}:streams`,
      ].sort(),
    );
  });

  // Bug: a field for each node that had ever stored a state stayed as long as the session.
  it("keep the number of a node's last state write only as long as it may be repeated", async () => {
    const [node, other] = await Promise.all([own.join(), own.join()]);
    const id = await node.create();
    const record = `${own.prefix}:{${id}}`;
    const stored = async () => (await own.admin.hget(record, 'stt'))?.split(' ') ?? [];
    for (const by of [other, node, node]) await by.backplane.storeState(id, '1', undefined);
    expect(await stored()).toMatchObject([
      expect.stringMatching(`^${node.id}:2:`),
      expect.stringMatching(`^${other.id}:1:`),
    ]);
    const past = Date.now() - 3_600_000;
    const gone = Array.from({ length: 100 }, (_, at) => `gone${at}:1:${past}`);
    await own.admin.hset(record, 'stt', [...(await stored()), ...gone].join(' '));
    await node.backplane.storeState(id, '1', undefined);
    expect(await stored()).toHaveLength(2);
  });

  // Bug: each start of a node left one more field and one more name in the list of replicas, as long as the session
  // lived.
  it('forget nodes that have done nothing for an hour, if there are many', async () => {
    const [node, other] = await Promise.all([own.join(), own.join()]);
    const id = await node.create();
    await node.run(id, open('p', ['1']));
    const streams = `${own.prefix}:{${id}}:streams`;
    const names = Array.from({ length: 70 }, (_, at) => `gone${at}`);
    await own.admin.hset(streams, Object.fromEntries(names.map((name) => [`t:${name}`, '5'])));
    await own.admin.hset(streams, 'reps', [node.id, ...names].join(' '));
    const left = async () => {
      const fields = await own.admin.hgetall(streams);
      const numbers = Object.keys(fields).filter((field) => field.startsWith('t:'));
      return { numbers: numbers.length, replicas: fields['reps']?.split(' ').length };
    };
    // The first look notes which nodes there are. The second one comes too soon to remove any.
    await other.run(id, { type: 'forget' });
    expect(await left()).toEqual({ numbers: 72, replicas: 71 });
    const third = await own.join();
    await third.run(id, { type: 'forget' });
    expect(await left()).toEqual({ numbers: 73, replicas: 71 });
    // This is an hour later. Two of the nodes have done something meanwhile.
    const noted = (await own.admin.hget(streams, 'quiet')) ?? '';
    await own.admin.hset(streams, 'quiet', noted.replace(/^\d+/, '1'));
    await own.admin.hset(streams, 't:gone1', '6');
    await node.run(id, append('p', 'answer'));
    const fourth = await own.join();
    await fourth.run(id, open('q', ['2']));
    expect(await left()).toEqual({ numbers: 5, replicas: 3 });
    expect((await own.admin.hget(streams, 'reps'))?.split(' ')).toEqual([
      ...[node.id, 'gone1', fourth.id],
    ]);
    // Commits of the remaining nodes are still recognized as repeats.
    expect(okay(await node.repeat(id, append('p', 'answer'))).results).toEqual([
      { status: 'repeated' },
    ]);
  });

  it('include the index of a principal, which expires after its last session and loses those that end', async () => {
    const node = await own.join(own.server.url, { sessionTtlMs: 60_000 });
    const most = { sessions: 2, pending: 2 };
    const one = await node.create({ most });
    const [index = ''] = await own.admin.keys(`${own.prefix}:principal:*`);
    expect(await own.admin.pttl(index)).toBeGreaterThan(50_000);
    await own.admin.pexpire(index, 10_000);
    const two = await node.create({ most });
    expect(await own.admin.pttl(index)).toBeGreaterThan(50_000);
    expect(await own.admin.zcard(index)).toBe(2);
    await expect(node.create({ most })).rejects.toThrow('Too many sessions');
    expect((await keys()).filter((key) => key.endsWith(':streams'))).toHaveLength(2);
    await Promise.all([one, two].map((id) => node.backplane.remove(id, ALICE)));
    expect(await keys()).toEqual([`${own.prefix}:node:${node.id}`]);
  });

  // Bug: the field of each resource that was ever announced stayed. It took 2.5 MB of a session that was subscribed to
  // nothing.
  it('have no field left of subscriptions, announcements, requests and connections that have ended', async () => {
    const node = await own.join();
    const id = await node.create();
    const fields = async () => [
      ...(await own.admin.hkeys(`${own.prefix}:{${id}}`)),
      ...(await own.admin.hkeys(`${own.prefix}:{${id}}:streams`)),
    ];
    const live = async (name: string) => {
      const uri = `file:///${name}`;
      const coalesce = coalescedByUri(uri);
      const effect = { type: 'unsubscribe', uri } as const;
      await node.run(id, subscribe(uri));
      await node.run(id, append(STANDALONE, 'news', { onlyIf: { subscribed: uri }, coalesce }));
      await node.run(id, open(name, [`"${name}"`]));
      await node.hold(id, STANDALONE, { token: name });
      await node.run(id, detach(STANDALONE, name, { n: 1, logId: '1-1' }));
      await node.run(id, append(name, 'answer', { ends: `"${name}"` }));
      await node.run(id, append(STANDALONE, '{}', { effect }));
      await node.backplane.storeState(id, '1', undefined);
    };
    await live('one');
    const before = await fields();
    await live('two');
    expect((await fields()).sort()).toEqual(before.sort());
  });

  it('are all gone after DELETE, together with the index entry', async () => {
    const node = await own.join();
    const id = await node.create({ most: { sessions: 1, pending: 1 } });
    await node.run(id, open('p', ['1']), append(STANDALONE, 'news'));
    await node.backplane.remove(id, ALICE);
    expect(await keys()).toEqual([`${own.prefix}:node:${node.id}`]);
  });

  it('are all gone after expiry, and later sessions remove the index entries', async () => {
    const node = await own.join(own.server.url, { sessionTtlMs: 1_000, pendingTtlMs: 1_000 });
    const ids = await Promise.all(Array.from({ length: 5 }, () => node.create()));
    for (const id of ids) await node.run(id, append(STANDALONE, 'news'));
    await eventually(async () => {
      expect((await keys()).filter((key) => ids.some((id) => key.includes(id)))).toEqual([]);
    });
    const later = await own.join(own.server.url);
    await eventually(async () => {
      await later.backplane.create(newSession());
      const left = await own.admin.zrangebylex(`${own.prefix}:sessions`, '-', '+');
      expect(left.filter((id) => ids.includes(id))).toEqual([]);
    });
  });

  // A failover may lose the end of the log, and the last numbers with it. A client that knows more must not wait for
  // ever.
  it('may lose the end of the log, and readers go on from what is left', async () => {
    const node = await own.join();
    const id = await node.create();
    const streams = `${own.prefix}:{${id}}:streams`;
    const one = await node.say(id, STANDALONE, 'one');
    const before = await own.admin.hget(streams, 'n:g');
    const two = await node.say(id, STANDALONE, 'two');
    await own.admin.xdel(`${own.prefix}:{${id}}:events`, two.position.logId);
    await own.admin.hset(streams, 'n:g', before ?? '');

    expect((await node.hold(id, STANDALONE, { cursor: two.position })).position).toEqual(
      one.position,
    );
    expect(await node.read(id, STANDALONE, two.position)).toMatchObject({ events: [], restart: 1 });
    await node.say(id, STANDALONE, 'another two');
    expect(await node.read(id, STANDALONE, two.position)).toMatchObject({
      restart: 1,
      events: [{ message: 'another two', position: { n: 2 } }],
    });
  });
});
