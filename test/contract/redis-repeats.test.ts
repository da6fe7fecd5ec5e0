/** Steps whose reply is lost. They are sent again, and take effect once. */
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOG_START, STANDALONE } from '../../src/backplane/backplane.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { ownRedis } from './support/own-redis.js';
import {
  ALICE,
  append,
  appended,
  newSession,
  okay,
  open,
  receive,
  type TestNode,
} from './suite/rig.js';

const own = ownRedis();

describe('a connection that is cut before the reply', () => {
  let proxy: TcpProxy;
  let near: TestNode;
  let far: TestNode;
  let id = '';

  beforeEach(async () => {
    proxy = await startTcpProxy({ target: { port: own.server.port } });
    near = await own.join(`redis://127.0.0.1:${proxy.port}`);
    far = await own.join();
    // The scripts are loaded before, so that the reply that is lost is that of the step.
    const warm = await far.create();
    await far.run(warm, { type: 'forget' });
    await far.hold(warm, STANDALONE);
    await far.backplane.touch([{ sessionId: warm, streams: [] }]);
    await far.backplane.storeState(warm, '1', undefined);
    await far.backplane.remove(warm, ALICE);
    await far.next('gone');
    id = await far.create();
  });
  afterEach(async () => {
    await own.leaveAll();
    await proxy.stop();
  });

  /** Cuts the connection when the server has carried out the step of this session. */
  async function cut<T>(sessionId: string, step: () => Promise<T>): Promise<T> {
    const sprung = proxy.cutBeforeReply((data) => data.includes(sessionId));
    const reply = await step();
    await sprung;
    return reply;
  }
  const outbound = async (stream: string) => (await far.texts(id, stream)).filter(Boolean);

  // ioredis sends a command again whose reply was lost. Measured with 5.11 and 6.0: without a guard the entry is stored
  // twice.
  it('leaves each appended message in the log once', async () => {
    await near.run(id, open('p', ['1']));
    await far.hold(id, STANDALONE);
    const reply = await cut(id, () =>
      near.commit(id, append('p', 'answer', { ends: '1' }), append(STANDALONE, 'news')),
    );
    expect(okay(reply).results).toEqual([{ status: 'repeated' }, { status: 'repeated' }]);
    expect(await outbound('p')).toEqual(['answer']);
    expect(await outbound(STANDALONE)).toEqual(['news']);
    expect((await far.next('event')).event.message).toBe('news');
    await near.run(id, append(STANDALONE, 'more'));
    expect((await far.next('event')).event.message).toBe('more');
  });

  // The twins: the fault is real. Only the number of the commit prevents it.
  it('leaves a message in the log twice that is sent again with a new number', async () => {
    await cut(id, () => near.commit(id, append(STANDALONE, 'news')));
    await near.commit(id, append(STANDALONE, 'news'));
    expect(await outbound(STANDALONE)).toEqual(['news', 'news']);
  });
  it('leaves an entry in a stream twice that ioredis alone has added', async () => {
    const client = new Redis(proxy.port, '127.0.0.1');
    try {
      const key = `${own.prefix}:plain`;
      const sprung = proxy.cutBeforeReply((data) => data.includes(key));
      await client.xadd(key, '*', 'm', 'news');
      await sprung;
      expect(await own.admin.xlen(key)).toBe(2);
    } finally {
      client.disconnect();
    }
  });

  it('opens a call once', async () => {
    const reply = okay(await cut(id, () => near.commit(id, open('p', ['1']))));
    expect(reply.results).toMatchObject([{ status: 'opened' }]);
    expect(reply.record?.id).toBe(id);
    const history = await far.backplane.history(id, LOG_START, 10);
    expect(history.filter(({ stream }) => stream === 'p')).toHaveLength(1);
    expect(appended((await near.run(id, append('p', 'answer', { ends: '1' })))[0]).ended).toBe(
      true,
    );
  });

  it('delivers a message of the client once', async () => {
    const message = receive({ to: 'node', nodeId: far.id }, 'answer');
    await cut(id, () => near.commit(id, message));
    expect((await far.next('deliver')).message).toBe('answer');
    expect(await far.drain(near, id)).toEqual([]);
    const history = await far.backplane.history(id, LOG_START, 10);
    expect(history.filter((entry) => entry.message === 'answer')).toHaveLength(1);
  });

  it('creates a session once, and reports that the id was free', async () => {
    const session = newSession();
    const positions = await cut(session.id, () => near.backplane.create(session));
    expect(positions && positions.map(({ n }) => n)).toEqual([0, 1]);
    const history = await far.said(session.id);
    expect(positions && positions.map(({ logId }) => logId)).toEqual(
      history.map(({ logId }) => logId),
    );
  });

  it('attaches a connection once, and names the connection that held the stream before', async () => {
    await far.hold(id, STANDALONE, { token: 'old' });
    const reply = await cut(id, () => near.hold(id, STANDALONE, { token: 'new' }));
    expect(reply.previous).toEqual({ nodeId: far.id, token: 'old' });
    const other = await far.create();
    const polite = { token: 'first', unlessHeld: true };
    const attached = await cut(other, () => near.attach(other, STANDALONE, polite));
    expect(attached).toMatchObject({ status: 'attached' });
    expect(attached).not.toHaveProperty('previous');
  });

  // The repeat found that the client had gone, and answered that the step was not sent: nobody gave the stream up.
  it('attaches a connection whose client has gone while the reply was lost, so that the stream is given up', async () => {
    let asked = 0;
    const isWanted = () => (asked += 1) === 1;
    const reply = await cut(id, () => near.attach(id, STANDALONE, { token: 'gone', isWanted }));
    expect(reply).toMatchObject({ status: 'attached' });
    expect(asked).toBe(1);
  });

  it('reports positions once', async () => {
    await near.hold(id, STANDALONE);
    const { position } = await far.say(id, STANDALONE, 'news');
    const streams = [{ stream: STANDALONE, token: 't1', position }];
    expect(await cut(id, () => near.backplane.touch([{ sessionId: id, streams }]))).toMatchObject([
      { status: 'ok', streams: [{ last: 1, held: true }] },
    ]);
  });

  it('stores the state once', async () => {
    await cut(id, () => near.backplane.storeState(id, '1', undefined));
    const { version, value } = (await far.backplane.loadState(id)) ?? {};
    expect(value).toBe('1');
    expect(await cut(id, () => near.backplane.storeState(id, '2', version))).toBe('stored');
    expect((await far.backplane.loadState(id))?.value).toBe('2');
  });

  // Bug: of several stores that were under way together, the first was taken for new when it was sent again. It conflicted
  // with itself, and an update counted twice. At first one later store was enough for that, and then eight, because only
  // the last eight were remembered.
  it('stores each state once, although many stores are under way', async () => {
    const { backplane } = near;
    const sprung = proxy.cutBeforeReply((data) => data.includes(id));
    const stores = Array.from({ length: 10 }, (_, at) =>
      backplane.storeState(id, String(at), at === 0 ? '' : undefined),
    );
    expect(await Promise.all(stores)).toEqual(stores.map(() => 'stored'));
    await sprung;
    expect((await backplane.loadState(id))?.value).toBe('9');
  });

  it('ends a session once, and reports that it has ended', async () => {
    expect(await cut(id, () => near.backplane.remove(id, ALICE))).toBe(true);
    expect(await far.backplane.load(id)).toBeUndefined();
  });

  // The second try finds no session of that principal. That does not mean that the first one has ended it.
  it('does not end a session of another principal', async () => {
    expect(await cut(id, () => near.backplane.remove(id, 'mallory'))).toBe(false);
    expect((await far.backplane.list(undefined, 10)).ids).toContain(id);
  });
});
