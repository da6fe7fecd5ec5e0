/**
 * What a node does while Redis is away, silent, paused or without its scripts, or while its subscriber hears nothing.
 */
import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { startDeafeningProxy } from './support/deafening-proxy.js';
import { lateness } from './support/lateness.js';
import { ownRedis } from './support/own-redis.js';
import { ALICE, append, BEGINNING, eventually, newSession } from './suite/rig.js';

const own = ownRedis();

describe('while Redis cannot be reached', () => {
  const QUICK = { commandTimeoutMs: 700, leaseMs: 1_400 };
  const MARGIN_MS = 350;
  const timed = (call: () => Promise<unknown>) => lateness(QUICK.commandTimeoutMs, call);
  const UNAVAILABLE = { code: 'backplane_unavailable' };

  // A short outage must not read as "no session": 404 would end every session. Nor may requests wait for ever.
  it('each call fails in bounded time, and succeeds again when Redis is back', async () => {
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown) => warnings.push(warning);
    process.on('warning', onWarning);
    try {
      const node = await own.join(`redis://127.0.0.1:${proxy.port}`, QUICK);
      const id = await node.create();
      const losses = node.losses;
      proxy.refuse();
      proxy.cut();
      const calls: (() => Promise<unknown>)[] = [
        () => node.backplane.load(id),
        () => node.commit(id, append(STANDALONE, 'news')),
        () => node.attach(id, STANDALONE),
        () => node.backplane.touch([{ sessionId: id, streams: [] }]),
        () => node.backplane.create(newSession()),
        () => node.backplane.remove(id, ALICE),
        () => node.backplane.send('x', { type: 'gone', sessionId: id }),
        () => node.backplane.alive(['x']),
        () => node.backplane.list(undefined, 1),
        // These writes of the state go out one after another, and still fail together.
        () => node.backplane.storeState(id, '1', undefined),
        () => node.backplane.storeState(id, '2', undefined),
        () => node.backplane.storeState(id, '3', undefined),
      ];
      for (const { lateMs, outcome } of await Promise.all(calls.map(timed))) {
        expect(outcome).toMatchObject(UNAVAILABLE);
        expect(lateMs).toBeLessThan(MARGIN_MS);
      }
      expect(node.backplane.trouble()).toEqual(expect.any(String));

      proxy.accept();
      await eventually(async () => {
        expect(await node.backplane.load(id)).toBeDefined();
      });
      await eventually(() => {
        expect(node.backplane.trouble()).toBeUndefined();
      });
      // The node is told that it may have missed messages, and reads the logs that it follows.
      expect(node.losses).toBeGreaterThan(losses);
      expect(warnings).toEqual([]);
    } finally {
      process.off('warning', onWarning);
      await own.leaveAll();
      await proxy.stop();
    }
  });

  // A firewall may forget a connection without a word. TCP alone notices that after a quarter of an hour.
  it('a node notices that every command is swallowed, and connects again', async () => {
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    try {
      const node = await own.join(`redis://127.0.0.1:${proxy.port}`, QUICK);
      const id = await node.create();
      proxy.mute('client→server');
      const { lateMs, outcome } = await timed(() => node.backplane.load(id));
      expect(outcome).toMatchObject(UNAVAILABLE);
      expect(lateMs).toBeLessThan(MARGIN_MS);
      await eventually(() => {
        expect(node.backplane.trouble()).toEqual(expect.any(String));
      });
      proxy.unmute();
      await eventually(async () => {
        expect((await node.backplane.load(id))?.id).toBe(id);
        expect(node.backplane.trouble()).toBeUndefined();
      });
    } finally {
      await own.leaveAll();
      await proxy.stop();
    }
  });

  // Timers run before sockets are read. Bug: a node that was stopped by garbage collection or a busy processor called
  // Redis unavailable and answered 503, although the replies had come in time.
  it('a node does not blame Redis when its own process stood still', async () => {
    const node = await own.join(own.server.url, QUICK);
    const id = await node.create();
    const calls = [node.backplane.load(id), node.commit(id, append(STANDALONE, 'news'))];
    await new Promise((resolve) => setImmediate(resolve)); // the calls are sent in this turn
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
    const [record] = await Promise.all(calls);
    expect(record).toMatchObject({ id });
    expect(node.backplane.trouble()).toBeUndefined();
    expect(await node.texts(id, STANDALONE)).toEqual(['news']);
  });

  it('a step during a pause is done once, although its caller tries it again', async () => {
    const node = await own.join(own.server.url, QUICK);
    const id = await node.create();
    await own.admin.client('PAUSE', 1_400, 'ALL');
    const { lateMs, outcome } = await timed(() => node.commit(id, append(STANDALONE, 'news')));
    expect(outcome).toMatchObject(UNAVAILABLE);
    expect(lateMs).toBeLessThan(MARGIN_MS);
    // The caller does not know whether the step was done, and repeats it until it gets an answer.
    await eventually(() => node.repeat(id, append(STANDALONE, 'news')));
    expect(await node.texts(id, STANDALONE)).toEqual(['news']);
  });

  // Bug: messages that were on their way waited, and later messages overtook them while there was no connection.
  it('messages to a node keep their order when the connection closes', async () => {
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    try {
      const node = await own.join(`redis://127.0.0.1:${proxy.port}`);
      const other = await own.join();
      const names = Array.from({ length: 40 }, (_, n) => `s${n}`);
      const send = (sessionId: string) =>
        node.backplane.send(other.id, { type: 'gone', sessionId });
      proxy.mute('client→server');
      const first = names.slice(0, 20).map(send);
      proxy.cut();
      proxy.unmute();
      await eventually(() => {
        expect(node.backplane.trouble()).toEqual(expect.any(String));
      });
      await Promise.all([...first, ...names.slice(20).map(send)]);
      await eventually(() => {
        expect(other.inbox).toEqual(names.map((sessionId) => ({ type: 'gone', sessionId })));
      });
    } finally {
      await own.leaveAll();
      await proxy.stop();
    }
  });

  it('no call fails when the connection closes', async () => {
    const node = await own.join(own.server.url);
    const other = await own.join(own.server.url);
    const id = await node.create();
    for (let round = 0; round < 3; round += 1) {
      for (const client of await own.clients()) await own.admin.client('KILL', 'ID', client.id);
      await node.commit(id, append(STANDALONE, `${round}`));
    }
    expect(await node.texts(id, STANDALONE)).toEqual(['0', '1', '2']);
    await eventually(() => {
      expect(other.backplane.trouble()).toBeUndefined();
    });
    await other.hold(id, STANDALONE);
    await node.say(id, STANDALONE, 'heard');
    expect((await other.next('event')).event.message).toBe('heard');
  });

  it('a node that starts without Redis connects to it later', async () => {
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    try {
      proxy.refuse();
      const node = own.start(`redis://127.0.0.1:${proxy.port}`, QUICK);
      const ready = node.backplane.ready();
      const { outcome } = await timed(() => node.backplane.load('x'));
      expect(outcome).toMatchObject(UNAVAILABLE);
      proxy.accept();
      await ready;
      expect(await node.backplane.load('x')).toBeUndefined();
    } finally {
      await own.leaveAll();
      await proxy.stop();
    }
  });

  it('a node loads its scripts again when Redis has lost them', async () => {
    const node = await own.join();
    const id = await node.create();
    await node.say(id, STANDALONE, 'one');
    await own.admin.script('FLUSH');
    await node.say(id, STANDALONE, 'two');
    expect(await node.texts(id, STANDALONE)).toEqual(['one', 'two']);
    expect((await node.hold(id, STANDALONE)).position).toEqual(BEGINNING);
  });
});

describe('a subscriber that is connected but deaf', () => {
  // After a failover a connection may answer pings and receive no messages. An idle stream would stay silent for ever.
  it('is noticed by the probe that goes with the lease, and replaced', async () => {
    const proxy = await startDeafeningProxy(own.server.port);
    try {
      const node = await own.join(`redis://127.0.0.1:${proxy.port}`, { leaseMs: 900 });
      const other = await own.join();
      const id = await other.create();
      await node.hold(id, STANDALONE);
      await other.say(id, STANDALONE, 'heard');
      await node.next('event');

      const { losses } = node;
      proxy.deafen();
      await other.say(id, STANDALONE, 'lost');
      await eventually(() => {
        expect(node.losses).toBe(losses + 1);
      });
      expect(node.warnings).toEqual([expect.stringContaining('hears nothing')]);
      await eventually(() => {
        expect(node.backplane.trouble()).toBeUndefined();
      });
      await other.say(id, STANDALONE, 'heard again');
      expect((await node.next('event')).event.message).toBe('heard again');
    } finally {
      await own.leaveAll();
      await proxy.stop();
    }
  });
});
