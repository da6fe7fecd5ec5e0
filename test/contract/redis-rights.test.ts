/**
 * The rights that `docs/how-to/prepare-redis.md` gives a Redis user are enough, and those for the stores of the SDK are
 * needed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { sdkStores } from '../../src/sdk-stores/sdk-stores.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { describeBackplane } from './suite/describe-backplane.js';
import { newSession, TestNode } from './suite/rig.js';

const own = useFileRedis();
/** The rights that each node needs come first, then those for the audit trail, and then those for the stores of the SDK. */
let grants: string[][] = [];
beforeAll(async () => {
  const text = await readFile(
    new URL('../../docs/how-to/prepare-redis.md', import.meta.url),
    'utf8',
  );
  grants = [...text.matchAll(/^ACL SETUSER mcp ([^]*?)\n```$/gm)].map(([, words = '']) =>
    words.split(/[\s\\]+/),
  );
  expect(grants).toHaveLength(3);
});
/** Creates a user with the rights of the first blocks of commands. */
async function userWith(blocks: number): Promise<{ url: string; prefix: string }> {
  const prefix = uniquePrefix();
  const words = grants.slice(0, blocks).flat();
  const rights = words.map((word) => word.replace(/^([~&])mcp:/, `$1${prefix}:`));
  await own.admin.acl('SETUSER', prefix, ...rights);
  return { url: `redis://${prefix}:password@127.0.0.1:${own.server.port}`, prefix };
}

async function open(blocks: number) {
  const { url, prefix } = await userWith(blocks);
  return {
    backplane: () => redisBackplane({ redis: url, prefix }),
    close: () => Promise.resolve(),
  };
}

describeBackplane('Redis, with the rights that a node needs, and those for the audit trail', () =>
  open(2),
);
describeSdkStores('Redis, with the rights for the stores of the SDK', () => open(3));

describe('a user with the rights for the stores of the SDK', () => {
  async function start(blocks: number) {
    const { url, prefix } = await userWith(blocks);
    const node = new TestNode(redisBackplane({ redis: url, prefix }));
    const own = sdkStores({ redis: url, prefix });
    onTestFinished(async () => {
      await own.close();
      await node.backplane.leave();
    });
    await node.backplane.ready();
    const session = newSession();
    await node.backplane.create(session);
    return { own, sessionId: session.id };
  }
  const call = { method: 'tools/call', params: { name: 'run' } };
  const message = { jsonrpc: '2.0' as const, method: 'notifications/message' };
  const queued = () => ({ type: 'notification' as const, message, timestamp: Date.now() });

  it('can use tasks, their queues and replayed events', async () => {
    const { own, sessionId } = await start(3);
    const { taskId } = await own.taskStore.createTask({ ttl: 60_000 }, 1, call, sessionId);
    for (let time = 0; time < 2; time += 1) {
      await own.taskMessageQueue.enqueue(taskId, queued(), sessionId, 10);
    }
    expect(await own.taskMessageQueue.dequeue(taskId, sessionId)).toMatchObject({ message });
    expect(await own.taskMessageQueue.dequeueAll(taskId, sessionId)).toHaveLength(1);
    await own.taskStore.storeTaskResult(taskId, 'completed', { content: [] }, sessionId);
    expect(await own.taskStore.getTask(taskId, sessionId)).toMatchObject({ status: 'completed' });
    expect((await own.taskStore.listTasks(undefined, sessionId)).tasks).toHaveLength(1);

    const events = own.eventStore(sessionId);
    const first = await events.storeEvent('stream', message);
    await events.storeEvent('stream', message);
    const seen: string[] = [];
    const send = (id: string) => Promise.resolve(void seen.push(id));
    await events.replayEventsAfter(first, { send });
    expect(seen).toHaveLength(1);
  });

  // A refused UNSUBSCRIBE, for instance, makes no test fail.
  it('was refused no command in the earlier tests', async () => {
    const log = (await own.admin.acl('LOG')) as string[][];
    const refused = log.map((entry) => entry[entry.indexOf('object') + 1]);
    // From Redis 7.2 on, ioredis tells the server its name. It does not need that.
    expect(refused.filter((command) => command !== 'client|setinfo')).toEqual([]);
  });

  it('may use each command of each script', async () => {
    const scripts = new URL('../../src/backplane/redis/scripts/', import.meta.url);
    const names = await readdir(scripts, { recursive: true });
    const files = names.filter((name) => name.endsWith('.lua'));
    const texts = await Promise.all(files.map((name) => readFile(new URL(name, scripts), 'utf8')));
    const calls = texts.flatMap((text) => text.match(/redis\.p?call\([^,]*,/g) ?? []);
    const commands = calls.flatMap((call) => call.match(/(?<=')[A-Z]+(?=')/g) ?? []);
    const granted = new Set(grants.flat());
    expect(commands.length).toBeGreaterThan(100);
    expect(commands.filter((name) => !granted.has(`+${name.toLowerCase()}`))).toEqual([]);
  });

  it('is needed for the queue of a task, and not for sessions', async () => {
    const { own, sessionId } = await start(1);
    // A notification that cannot be stored would only be logged, so this is a request.
    const asked = { jsonrpc: '2.0' as const, id: 1, method: 'ping' };
    const question = { type: 'request' as const, message: asked, timestamp: Date.now() };
    await expect(own.taskMessageQueue.enqueue('task', question, sessionId, 10)).rejects.toThrow();
  });
});
