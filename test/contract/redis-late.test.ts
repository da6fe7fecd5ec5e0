/**
 * Commands that the network delays. A node gives up a command that is not answered in time, ends the connection, and goes
 * on over a new one: it undoes the step, or does another. The bytes of the old connection may arrive after that. A claim of
 * a stream that had been answered with 503 and undone became the holder that way, and the GET that held the stream got
 * nothing any more.
 */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STANDALONE } from '../../src/backplane/backplane.js';
import type { Operation } from '../../src/backplane/backplane.js';
import type { SeamStore } from '../../src/backplane/seams.js';
import { startLateProxy, type LateProxy } from '../support/late-proxy.js';
import { ownRedis } from './support/own-redis.js';
import {
  ALICE,
  append,
  detach,
  eventually,
  newSession,
  open,
  receive,
  subscribe,
  type TestNode,
} from './suite/rig.js';

const own = ownRedis();
const TIMEOUT_MS = 400;

describe('what arrives late over a connection that was given up', () => {
  let proxy: LateProxy;
  let near: TestNode;
  let far: TestNode;
  /** Takes no part: says when nothing more is on its way to `far`. */
  let other: TestNode;
  let [id, idOfOther] = ['', ''];

  beforeEach(async () => {
    proxy = await startLateProxy(own.server.port);
    [far, other] = await Promise.all([own.join(), own.join()]);
    idOfOther = await other.create();
    id = await far.create({ owned: true });
    // What the steps below are about.
    await far.hold(id, STANDALONE, { token: 'far' });
    await seamsOf(far).tasks.create(task('task'), 10);
    await seamsOf(far).tasks.push('task', 'queued', 10);
  });
  afterEach(async () => {
    await own.leaveAll();
    proxy.stop();
  });

  const joinThroughProxy = (credentials = '') =>
    own.join(`redis://${credentials}127.0.0.1:${proxy.port}`, { commandTimeoutMs: TIMEOUT_MS });

  /** Takes a step whose bytes are lost until the node has given it up and is ready again over a new connection. */
  async function late(step: () => Promise<unknown>) {
    proxy.drop();
    await expect(step()).rejects.toThrow(/./);
    await near.membership.ready();
    await eventually(() => near.membership.load(id));
    await far.drain(other, idOfOther);
    const before = await everything(own.admin, own.prefix);
    await proxy.arrive();
    const after = await everything(own.admin, own.prefix);
    return { before, after, heard: await far.drain(other, idOfOther) };
  }

  const run = (...operations: Operation[]) => near.run(id, ...operations);
  const position = { n: 1, logId: '1-1' };
  const STEPS: [string, () => Promise<unknown>, prepare?: () => Promise<unknown>][] = [
    ['attach', () => near.attach(id, STANDALONE)],
    ['open', () => run(open('p', ['1']))],
    ['receive', () => run(receive({ to: 'here' }))],
    ['receive of `initialized`', () => run(receive({ to: 'initialized' }))],
    ['append', () => run(append(STANDALONE, 'news'))],
    [
      'append of an answer',
      () => run(append('p', 'x', { ends: '1' })),
      () => run(open('p', ['1'])),
    ],
    ['append that shapes the session', () => run(subscribe('file:///x'))],
    ['detach', () => run(detach(STANDALONE, 'near')), () => hold()],
    ['detach of a claim that was never used', () => run(neverUsed()), () => hold()],
    ['hangup', () => run({ type: 'hangup', stream: STANDALONE })],
    ['claim', () => run(claim()), () => far.run(id, open('p', ['1']))],
    ['assign', () => run({ type: 'assign', stream: undefined, dead: far.id, revision: 1 })],
    ['release', () => run({ type: 'release', stream: 'p' }), () => run(open('p', ['1']))],
    ['abandon', () => run(abandon()), () => run(open('p', ['1']))],
    ['note', () => run(note())],
    ['forget', () => run({ type: 'forget' }), () => run(receive({ to: 'here' }, '{}', unknown()))],
    ['create', () => near.membership.create(newSession())],
    ['remove', () => near.membership.remove(id, ALICE)],
    ['touch', () => touch(), () => hold()],
    ['state', () => near.membership.storeState(id, '1', undefined)],
    ['send', () => near.membership.send(far.id, { type: 'gone', sessionId: id })],
    ['broadcast', () => seamsOf(near).broadcasts.publish('news')],
    ['event', () => seamsOf(near).replays.append(id, 'p', 'event')],
    ['task', () => seamsOf(near).tasks.create(task('another'), 10)],
    ['status of a task', () => seamsOf(near).tasks.change(cancelled())],
    ['message to a task', () => seamsOf(near).tasks.push('task', 'more', 10)],
    ['message put back', () => seamsOf(near).tasks.putBack('task', ['back'])],
    ['message taken', () => seamsOf(near).tasks.pop('task', undefined)],
    ['messages taken', () => seamsOf(near).tasks.popAll('task', undefined)],
    ['wait for a task', () => seamsOf(near).tasks.wait('waited for', 10_000), createWaitedFor],
  ];
  const hold = () => near.hold(id, STANDALONE, { token: 'near' });
  const touch = () =>
    near.membership.touch([
      { sessionId: id, streams: [{ stream: STANDALONE, token: 'near', position }] },
    ]);
  const neverUsed = (): Operation => ({ ...detach(STANDALONE, 'near'), neverUsed: true });
  const claim = (): Operation => ({ type: 'claim', stream: 'p', from: far.id, revision: 1 });
  const unknown = () => ({ revision: undefined });
  function createWaitedFor() {
    return seamsOf(far).tasks.create(task('waited for'), 10);
  }

  it.each(STEPS)('has no effect: %s', async (_, step, prepare) => {
    near = await joinThroughProxy();
    await prepare?.();
    const { before, after, heard } = await late(step);
    expect(after).toEqual(before);
    expect(heard).toEqual([]);
    expect(near.warnings).toEqual([]);
  });

  // The twins: the fault is real, and only the end that the new connection puts to the old one keeps it out.
  it.each(STEPS)('has one where connections may not be ended: %s', async (_, step, prepare) => {
    await own.admin.acl('SETUSER', 'shy', 'on', '>secret', '~*', '&*', '+@all', '-client|kill');
    near = await joinThroughProxy('shy:secret@');
    await prepare?.();
    const { before, after, heard } = await late(step);
    expect({ after, heard }).not.toEqual({ after: before, heard: [] });
    expect(near.warnings).toEqual([expect.stringMatching(/NOPERM.*may still take effect/)]);
  });
});

function seamsOf(node: TestNode): SeamStore {
  const { seams } = node.membership;
  if (seams === undefined) throw new Error('Redis has them');
  return seams;
}

function task(id: string) {
  return {
    ...{ id, sessionId: undefined, ttlMs: 60_000, createdAt: '2030-01-01T00:00:00Z' },
    ...{ pollIntervalMs: 1_000, method: 'tools/call' },
  };
}

function cancelled() {
  const change = { id: 'task', sessionId: undefined, status: 'cancelled' as const };
  return { ...change, statusMessage: undefined, result: undefined, at: '2030-01-01T00:00:01Z' };
}

function abandon(): Operation {
  return { type: 'abandon', stream: 'p', requests: ['1'] };
}

function note(): Operation {
  return { type: 'note', kind: 'request.failed', stream: 'p', request: '1', from: undefined };
}

/** All that is stored, but for the leases. */
async function everything(admin: Redis, prefix: string): Promise<Map<string, unknown>> {
  const keys = await admin.keys(`${prefix}:*`);
  const stored = new Map<string, unknown>();
  for (const key of keys.filter((name) => !name.includes(':node:')).sort()) {
    stored.set(key, await valueOf(admin, key));
  }
  return stored;
}

async function valueOf(admin: Redis, key: string): Promise<unknown> {
  switch (await admin.type(key)) {
    case 'hash':
      return admin.hgetall(key);
    case 'list':
      return admin.lrange(key, 0, -1);
    case 'zset':
      return admin.zrangebyscore(key, '-inf', '+inf', 'WITHSCORES');
    case 'stream':
      return admin.xrange(key, '-', '+');
    default:
      return admin.get(key);
  }
}
