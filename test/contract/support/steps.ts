import type { Redis } from 'ioredis';
import type { Operation } from '../../../src/backplane/backplane.js';
import { STANDALONE } from '../../../src/backplane/backplane.js';
import type { SdkStoreAccess } from '../../../src/backplane/sdk-store-access.js';
import {
  ALICE,
  append,
  detach,
  newSession,
  open,
  receive,
  subscribe,
  type TestNode,
} from '../suite/rig.js';

/** Two nodes, and a session that `far` owns and whose GET stream it holds. The session has a task with one message. */
export interface Scene {
  near: TestNode;
  far: TestNode;
  id: string;
}

/** Stores the session and the task that the steps change, and returns the id of the session. */
export async function setScene(far: TestNode): Promise<string> {
  const id = await far.create({ owned: true });
  await far.hold(id, STANDALONE, { token: 'far' });
  await sdkStoresOf(far).tasks.create(task('task'), 10);
  await sdkStoresOf(far).tasks.push('task', 'queued', 10);
  return id;
}

export type Step = (scene: Scene) => Promise<unknown>;

const run =
  (operation: Operation): Step =>
  ({ near, id }) =>
    near.run(id, operation);
const opened = run(open('p', ['1']));
const openedFar: Step = ({ far, id }) => far.run(id, open('p', ['1']));
const held: Step = ({ near, id }) => near.hold(id, STANDALONE, { token: 'near' });
const position = { n: 1, logId: '1-1' };

/** Each kind of step by which `near` changes or sends something, with the step that has to come before it. */
export const STEPS: [name: string, step: Step, prepare?: Step][] = [
  ['attach', ({ near, id }) => near.attach(id, STANDALONE)],
  ['open', opened],
  ['receive', run(receive({ to: 'here' }))],
  [
    'receive for another node',
    ({ near, far, id }) => near.run(id, receive({ to: 'node', nodeId: far.id })),
  ],
  ['receive of `initialized`', run(receive({ to: 'initialized' }))],
  ['append', run(append(STANDALONE, 'news'))],
  ['append of an answer', run(append('p', 'answer', { ends: '1' })), opened],
  ['append that shapes the session', run(subscribe('file:///x'))],
  ['detach', run(detach(STANDALONE, 'near')), held],
  ['detach of an unused claim', run({ ...detach(STANDALONE, 'near'), neverUsed: true }), held],
  ['hangup', run({ type: 'hangup', stream: STANDALONE })],
  ['claim', ({ near, far, id }) => near.run(id, claim(far)), openedFar],
  [
    'claim of what is owned',
    ({ near, far, id }) => near.run(id, { ...claim(far), owned: true }),
    openedFar,
  ],
  ['assign', ({ near, far, id }) => near.run(id, assign(far))],
  ['release', run({ type: 'release', stream: 'p' }), releasable],
  ['abandon', run({ type: 'abandon', stream: 'p', requests: ['1'] }), opened],
  ['note', run(note())],
  [
    'forget',
    run({ type: 'forget' }),
    ({ near, id }) => near.run(id, receive({ to: 'here' }, '{}', { revision: undefined })),
  ],
  ['create', ({ near }) => near.backplane.create(newSession())],
  ['remove', ({ near, id }) => near.backplane.remove(id, ALICE)],
  ['touch', touch, held],
  ['state', ({ near, id }) => near.backplane.storeState(id, '1', undefined)],
  ['send', ({ near, far, id }) => near.backplane.send(far.id, { type: 'gone', sessionId: id })],
  ['broadcast', ({ near }) => sdkStoresOf(near).broadcasts.publish('news')],
  ['event', ({ near, id }) => sdkStoresOf(near).replays.append(id, 'p', 'event')],
  ['task', ({ near }) => sdkStoresOf(near).tasks.create(task('another'), 10)],
  ['status of a task', ({ near }) => sdkStoresOf(near).tasks.change(cancelled())],
  ['message to a task', ({ near }) => sdkStoresOf(near).tasks.push('task', 'more', 10)],
  ['message put back', ({ near }) => sdkStoresOf(near).tasks.putBack('task', ['back'])],
  ['message taken', ({ near }) => sdkStoresOf(near).tasks.pop('task', undefined)],
  ['messages taken', ({ near }) => sdkStoresOf(near).tasks.popAll('task', undefined)],
];

function touch({ near, id }: Scene): Promise<unknown> {
  const streams = [{ stream: STANDALONE, token: 'near', position }];
  return near.backplane.touch([{ sessionId: id, streams }]);
}

/** Lets the other node follow the call. */
async function releasable({ near, far, id }: Scene): Promise<void> {
  await near.run(id, open('p', ['1']));
  await far.hold(id, 'p', { token: 'far', cursor: { n: 0, logId: '0-0' } });
}

function claim(from: TestNode): Extract<Operation, { type: 'claim' }> {
  return { type: 'claim', stream: 'p', from: from.id, revision: '1' };
}

function assign(dead: TestNode): Operation {
  return { type: 'assign', stream: undefined, dead: dead.id, revision: '1' };
}

function note(): Operation {
  return { type: 'note', kind: 'request.failed', stream: 'p', request: '1', from: undefined };
}

function sdkStoresOf(node: TestNode): SdkStoreAccess {
  const { sdkStores } = node.backplane;
  if (sdkStores === undefined) throw new Error('Redis has them');
  return sdkStores;
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

/** Reads all that is stored, except for the leases. */
export async function everything(admin: Redis, prefix: string): Promise<Map<string, unknown>> {
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
