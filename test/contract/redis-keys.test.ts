/** Which keys there are, and for how long. */
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

  // Whatever happens to the nodes: nothing may stay in Redis for ever.
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
    await node.membership.storeState(id, '1', undefined);
    await ttls();
    await node.run(id, receive({ to: 'initialized' }), append('p', 'answer', { ends: '1' }));
    await node.membership.touch([{ sessionId: id, streams: [] }]);
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

  // A field for each node that had ever stored a state stayed as long as the session.
  it('remember the last store of a node only as long as it may be repeated', async () => {
    const [node, other] = await Promise.all([own.join(), own.join()]);
    const id = await node.create();
    const record = `${own.prefix}:{${id}}`;
    const stored = async () => (await own.admin.hget(record, 'stt'))?.split(' ') ?? [];
    for (const by of [other, node, node]) await by.membership.storeState(id, '1', undefined);
    expect(await stored()).toMatchObject([
      expect.stringMatching(`^${node.id}:2:`),
      expect.stringMatching(`^${other.id}:1:`),
    ]);
    const past = Date.now() - 3_600_000;
    const gone = Array.from({ length: 100 }, (_, at) => `gone${at}:1:${past}`);
    await own.admin.hset(record, 'stt', [...(await stored()), ...gone].join(' '));
    await node.membership.storeState(id, '1', undefined);
    expect(await stored()).toHaveLength(2);
  });

  // With each start of a node there was a field more, and a name more in the list of replicas, as long as the session lived.
  it('forget nodes that have done nothing for an hour, where there are many', async () => {
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
    // The first look notes what there is, and a second one comes too soon.
    await other.run(id, { type: 'forget' });
    expect(await left()).toEqual({ numbers: 72, replicas: 71 });
    const third = await own.join();
    await third.run(id, { type: 'forget' });
    expect(await left()).toEqual({ numbers: 73, replicas: 71 });
    // An hour later, in which two of them have done something.
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
    // What a node that is left has done is known as ever.
    expect(okay(await node.repeat(id, append('p', 'answer'))).results).toEqual([
      { status: 'repeated' },
    ]);
  });

  it('the index of a principal has a TTL, which each of its sessions begins anew, and loses those that end', async () => {
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
    await Promise.all([one, two].map((id) => node.membership.remove(id, ALICE)));
    expect(await keys()).toEqual([`${own.prefix}:node:${node.id}`]);
  });

  // The field of each resource that was ever told of stayed: 2.5 MB in a session that was subscribed to nothing.
  it('have no field left of what is over: subscriptions, their news, requests, connections', async () => {
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
      await node.membership.storeState(id, '1', undefined);
    };
    await live('one');
    const before = await fields();
    await live('two');
    expect((await fields()).sort()).toEqual(before.sort());
  });

  it('are all gone after DELETE, the index entry too', async () => {
    const node = await own.join();
    const id = await node.create({ most: { sessions: 1, pending: 1 } });
    await node.run(id, open('p', ['1']), append(STANDALONE, 'news'));
    await node.membership.remove(id, ALICE);
    expect(await keys()).toEqual([`${own.prefix}:node:${node.id}`]);
  });

  it('are all gone after expiry, and later sessions tidy the index', async () => {
    const node = await own.join(own.server.url, { sessionTtlMs: 1_000, pendingTtlMs: 1_000 });
    const ids = await Promise.all(Array.from({ length: 5 }, () => node.create()));
    for (const id of ids) await node.run(id, append(STANDALONE, 'news'));
    await eventually(async () => {
      expect((await keys()).filter((key) => ids.some((id) => key.includes(id)))).toEqual([]);
    });
    const later = await own.join(own.server.url);
    await eventually(async () => {
      await later.membership.create(newSession());
      const left = await own.admin.zrangebylex(`${own.prefix}:sessions`, '-', '+');
      expect(left.filter((id) => ids.includes(id))).toEqual([]);
    });
  });

  // The end of the log is lost in a failover, and with it the numbers: a client that knows more must not hang.
  it('may lose their newest part, and readers go on from what is left', async () => {
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
