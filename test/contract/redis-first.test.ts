/**
 * How a log begins in Redis: as a string, which takes a fifth of the memory of a Redis stream. It becomes a Redis
 * stream with the first entry after the handshake.
 */
import { describe, expect, it } from 'vitest';
import type { Effect } from '../../src/backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../src/backplane/backplane.js';
import { RedisObservation } from '../../src/backplane/redis/redis-observation.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { ownRedis } from './support/own-redis.js';
import {
  append,
  BEGINNING,
  eventually,
  newSession,
  open,
  receive,
  resultsOf,
  type TestNode,
} from './suite/rig.js';

const own = ownRedis();

const INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}';
const initialized = receive({ to: 'initialized' }, INITIALIZED);

const keyOf = (id: string) => `${own.prefix}:{${id}}`;
const typeOf = (id: string) => own.admin.type(`${keyOf(id)}:events`);
const history = (node: TestNode, id: string) => node.backplane.history(id, LOG_START, 100);

describe('the log of a session that has had only its handshake', () => {
  it('is a Redis string that reads like any log, and stays one when a GET attaches', async () => {
    const node = await own.join();
    const id = await node.create();
    await node.run(id, initialized);
    expect(await typeOf(id)).toBe('string');
    const entries = await history(node, id);
    expect(entries.map(({ note, message }) => note?.kind ?? message)).toEqual([
      'session.created',
      '{"method":"initialize"}',
      '{"result":"initialized"}',
      INITIALIZED,
      'session.initialized',
    ]);
    expect(entries.map(({ direction, stream }) => [direction, stream]).slice(1, 4)).toEqual([
      ['in', 'init'],
      ['out', 'init'],
      ['in', undefined],
    ]);
    const [first, second, ...others] = entries;
    expect(await node.backplane.history(id, second?.logId ?? '', 2)).toEqual(others.slice(0, 2));
    expect(await node.backplane.history(id, entries.at(-1)?.logId ?? '', 2)).toEqual([]);
    expect(await node.backplane.history(id, LOG_START, 1)).toEqual([first]);

    await node.hold(id, STANDALONE);
    expect((await node.read(id, STANDALONE)).events).toEqual([]);
    await node.backplane.touch([{ sessionId: id, streams: [] }]);
    expect(await typeOf(id)).toBe('string');
    for (const key of await own.admin.keys(`${keyOf(id)}*`)) {
      expect(await own.admin.pttl(key), key).toBeGreaterThan(0);
    }
  });

  it.each([
    ['a call', (id: string, node: TestNode) => node.run(id, open('p', ['1']))],
    ['a notification', (id: string, node: TestNode) => node.run(id, append(STANDALONE, 'news'))],
    ['a message', (id: string, node: TestNode) => node.run(id, receive({ to: 'here' }))],
    ['a second `initialized`', (id: string, node: TestNode) => node.run(id, initialized)],
    [
      'a stream that is resumed',
      (id: string, node: TestNode) => node.hold(id, STANDALONE, { cursor: BEGINNING }),
    ],
  ])('becomes a Redis stream with the same entries and ids when there is %s', async (_, step) => {
    const node = await own.join();
    const id = await node.create();
    await node.run(id, initialized);
    const before = await history(node, id);
    await own.admin.pexpire(`${keyOf(id)}:events`, 20_000);
    await step(id, node);
    // A call or a message renews the TTL of the session, and that of its log.
    expect(await own.admin.pttl(`${keyOf(id)}:events`)).toBeGreaterThan(10_000);
    expect(await typeOf(id)).toBe('stream');
    const after = await history(node, id);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(before.length + 1);
    expect(await own.admin.hget(`${keyOf(id)}:streams`, 'first')).toBeNull();
    // From now on, the log is a Redis stream.
    await node.run(id, append(STANDALONE, 'more'));
    expect(await history(node, id)).toHaveLength(before.length + 2);
  });

  it('shows what the server said before its answer, and the answer to a client that resumes', async () => {
    const node = await own.join();
    const outbound = [
      { stream: STANDALONE, message: 'häl"lo\n', asks: false },
      { stream: STANDALONE, message: '{"method":"roots/list"}', asks: true },
      { stream: 'init', message: '', asks: false },
      { stream: 'init', message: 'line\nm 3\nline €', asks: false },
    ];
    const session = newSession({ outbound });
    const ids = (await node.backplane.create(session)) || [];
    await node.run(session.id, initialized);
    const [asked] = (await node.read(session.id, STANDALONE)).events.slice(1);
    expect(asked).toMatchObject({ position: ids[2], asker: node.id });
    expect(await node.texts(session.id, STANDALONE)).toEqual([
      'häl"lo\n',
      '{"method":"roots/list"}',
    ]);
    expect(await node.texts(session.id, 'init')).toEqual(['', 'line\nm 3\nline €']);
    expect((await node.hold(session.id, STANDALONE)).position).toEqual(BEGINNING);
    // The stream has ended. One cursor is before its answer, and the other one after it.
    const resumed = await node.hold(session.id, 'init', { cursor: { ...ids[3], n: 1 } as never });
    expect(resumed.position.n).toBe(1);
    expect(await typeOf(session.id)).toBe('stream');
    const behind = await node.attach(session.id, 'init', { cursor: ids[4] });
    expect(behind).toEqual({ status: 'ended' });
    expect(await node.texts(session.id, 'init')).toEqual(['', 'line\nm 3\nline €']);
  });

  it('reports the stream as ended at the cursor of its answer, and refuses a cursor of no entry as unknown', async () => {
    const node = await own.join();
    const session = newSession();
    const [, answer] = (await node.backplane.create(session)) || [];
    expect(await node.attach(session.id, 'init', { cursor: answer })).toEqual({ status: 'ended' });
    const later = { n: 1, logId: `${Number(answer?.logId.split('-')[0]) + 1}-0` };
    expect(await node.attach(session.id, 'init', { cursor: later })).toEqual({ status: 'unknown' });
    expect(await typeOf(session.id)).toBe('string');
  });

  it('expires after `maxAgeMs`, and a later step starts it again', async () => {
    const node = await own.join(own.server.url, {
      retention: { maxEvents: 1_000, maxAgeMs: 1_000 },
    });
    const id = await node.create();
    await eventually(async () => {
      expect(await typeOf(id)).toBe('none');
    });
    expect(await history(node, id)).toEqual([]);
    await node.run(id, initialized);
    expect((await history(node, id)).map(({ note }) => note?.kind)).toEqual([
      undefined,
      'session.initialized',
    ]);
    await node.run(id, append(STANDALONE, 'news'));
    expect((await history(node, id)).map(({ message }) => message).slice(-1)).toEqual(['news']);
  });

  it.each([
    ['entries', { maxEvents: 3, maxAgeMs: 60_000 }],
    ['bytes', { maxEvents: 1_000, maxAgeMs: 60_000, maxBytes: 400 }],
  ])('keeps no more %s than the retention allows', async (_, retention) => {
    const node = await own.join(own.server.url, { retention });
    const id = await node.create();
    await node.run(id, initialized);
    expect(await typeOf(id)).toBe('stream');
    expect((await history(node, id)).length).toBeLessThanOrEqual(3);
  });

  // Bug: with the length -5, or with a word without a line end, the node and Redis itself never stopped reading.
  it.each([
    ['a word', 'x'],
    ['nothing', ''],
    ['an empty line', '\n'],
    ['no fields', '1-1\n'],
    ['a negative length', '1-1 m -5\nabc'],
    ['a length that is no whole number', '1-1 m 1e1\n0123456789'],
    ['a length beyond its end', '1-1 m 4\nabc'],
    ['an id that is none', '- m 3\nabc'],
    ['ids of one order only', '5-1 o 0 m 1\na5-1 o 0 m 1\nb'],
    ['a thousand words', `1-1 ${'o 0 '.repeat(500)}\n`],
  ])('ends before malformed text: %s', async (_, text) => {
    const node = await own.join();
    const id = await node.create();
    await own.admin.set(`${keyOf(id)}:events`, text);
    const whole = text.startsWith('5-1') ? 1 : 0;
    expect(await history(node, id)).toHaveLength(whole);
    expect(await node.attach(id, 'init', { cursor: { n: 1, logId: '9-9' } })).toEqual({
      status: 'unknown',
    });
    expect((await node.read(id, 'init')).events).toEqual([]);
    await node.run(id, open('p', ['1']), append(STANDALONE, 'news'));
    expect(await typeOf(id)).toBe('stream');
    expect(await node.texts(id, STANDALONE)).toEqual(['news']);
    expect((await history(node, id)).slice(-2).map(({ stream }) => stream)).toEqual(['p', 'g']);
  });

  // Every read of the log would read all of a large first message, so such a log is a Redis stream from the start.
  it('is a Redis stream from the start if it is large', async () => {
    const node = await own.join();
    const text = 'x'.repeat(70_000);
    const session = newSession({ inbound: text });
    const ids = (await node.backplane.create(session)) || [];
    expect(await typeOf(session.id)).toBe('stream');
    await node.run(session.id, initialized);
    const entries = await history(node, session.id);
    expect(entries.map(({ note, message }) => note?.kind ?? message)).toEqual([
      'session.created',
      text,
      '{"result":"initialized"}',
      INITIALIZED,
      'session.initialized',
    ]);
    expect(entries.slice(1, 3).map(({ logId }) => logId)).toEqual(ids.map(({ logId }) => logId));
    const small = await node.create();
    await node.run(small, receive({ to: 'initialized' }, text));
    expect(await typeOf(small)).toBe('stream');
  });

  it('stays a string when a full Redis refuses the next step', async () => {
    const node = await own.join(own.server.url, { commandTimeoutMs: 500 });
    const id = await node.create();
    const before = await history(node, id);
    const fill = (maxmemory: number) => own.admin.config('SET', 'maxmemory', maxmemory);
    for (const step of [initialized, open('p', ['1']), append(STANDALONE, 'news')]) {
      await fill(1);
      await expect(node.commit(id, step)).rejects.toMatchObject({ code: 'backplane_unavailable' });
      expect(await node.texts(id, 'init')).toHaveLength(1);
      await fill(0);
      expect(await history(node, id)).toEqual(before);
      expect(await typeOf(id)).toBe('string');
    }
  });

  it('has the same entries when replies were lost', async () => {
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    const node = await own.join(`redis://127.0.0.1:${proxy.port}`);
    const session = newSession();
    const created = proxy.cutBeforeReply((data) => data.includes(session.id));
    const positions = (await node.backplane.create(session)) || [];
    await created;
    const cut = proxy.cutBeforeReply((data) => data.includes(INITIALIZED));
    expect(resultsOf(await node.commit(session.id, initialized))).toMatchObject([
      { status: 'received', here: true },
    ]);
    await cut;
    const entries = await history(node, session.id);
    expect(entries).toHaveLength(5);
    expect(entries.slice(1, 3).map(({ logId }) => logId)).toEqual(
      positions.map(({ logId }) => logId),
    );
    await own.leaveAll();
    await proxy.stop();
  });

  it('can be read by an observer', async () => {
    const node = await own.join();
    const id = await node.create();
    await node.run(id, initialized);
    const observation = new RedisObservation({
      ...{ redis: own.server.url, prefix: own.prefix, clock: systemClock, commandTimeoutMs: 2_000 },
      logger: { warn: () => undefined },
    });
    try {
      const entries = await history(node, id);
      const look = () => observation.lifetime(id);
      const before = await look();
      expect(before).toMatchObject({ events: 5, oldest: entries[0]?.logId });
      expect(before?.newest).toBe(entries[4]?.logId);
      expect(await observation.histories([{ id, after: LOG_START, count: 2 }])).toEqual([
        entries.slice(0, 2),
      ]);
      await node.run(id, append(STANDALONE, 'news'));
      const { bytes = 0, ...after } = (await look()) ?? {};
      expect(after).toMatchObject({ events: 6, oldest: entries[0]?.logId });
      expect(bytes - (before?.bytes ?? 0)).toBe(104);
    } finally {
      observation.close();
    }
  });
});

describe('a session that has had only its handshake', () => {
  const initialize = (more: string) =>
    `{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"${more}","version":"1"}}`;

  async function begin(node: TestNode, name: string): Promise<string> {
    const params = initialize(name);
    const id = await node.create({
      ...{ id: crypto.randomUUID(), initialize: params },
      inbound: `{"jsonrpc":"2.0","id":0,"method":"initialize","params":${params}}`,
      outbound: [
        {
          ...{ stream: 'init', asks: false },
          message: `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"server","version":"1.0.0"}}}`,
        },
      ],
    });
    await node.run(id, initialized);
    return id;
  }

  it('has the new params when its client initializes again', async () => {
    const node = await own.join();
    const id = await begin(
      node,
      'what is long enough to be cut into pieces, of which there are three',
    );
    const effect: Effect = {
      ...{ type: 'initialize', hears: ['tools', 'prompts'], params: initialize('b') },
      protocolVersion: '2025-11-25',
    };
    await node.run(id, append(STANDALONE, '{}', { effect }));
    expect((await node.backplane.load(id))?.initialize).toBe(initialize('b'));
  });

  it('takes less than 2 KiB', async () => {
    const node = await own.join();
    const id = await begin(node, 'client');
    const keys = await own.admin.keys(`${keyOf(id)}*`);
    const sizes = await Promise.all(
      keys.map((key) => own.admin.memory('USAGE', key, 'SAMPLES', 0)),
    );
    // Each session has some entries in sorted sets, too. They are not counted here.
    expect(sizes.reduce((sum: number, size) => sum + Number(size), 0)).toBeLessThan(1_500);
    for (const key of [keyOf(id), `${keyOf(id)}:streams`]) {
      expect(await own.admin.object('ENCODING', key)).toMatch(/^(listpack|ziplist)$/);
    }
  });

  it.each([0, 1, 7, 63, 64, 65, 400, 5_000])(
    'returns the params of its `initialize` unchanged, with a name of %i characters of all kinds',
    async (length) => {
      const node = await own.join();
      const name = Array.from({ length }, (_, at) => ['a', 'é', '€', '😀'][at % 4]).join('');
      const id = await begin(node, name);
      expect((await node.backplane.load(id))?.initialize).toBe(initialize(name));
      const reply = await node.commit(id, open('p', ['1']));
      expect(reply).toMatchObject({ record: { initialize: initialize(name) } });
    },
  );
});
