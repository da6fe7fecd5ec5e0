/** A writer to Redis who stores malformed data harms the session of that data at most. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { useFileRedis } from '../support/file-redis.js';
import { request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import { openSession, startNode } from './support/serve.js';

const own = useFileRedis();
const start = async (more: object = {}) => {
  const node = await startNode({ backplane: redisBackplane({ redis: own.server.url }), ...more });
  onTestFinished(() => own.admin.flushall().then(() => undefined));
  return { ...node, inbox: `mcp:inbox:${node.mcp.nodeId}` };
};

/** The stored data of a session, each with something that the scripts do not write. */
const HARM: [string, (key: string) => Promise<unknown>][] = [
  ['a record of another type', (key) => own.admin.multi().del(key).set(key, 'x').exec()],
  ['a record without a revision', (key) => own.admin.hset(key, 'rev', 'x')],
  [
    'a streams hash of another type',
    (key) => own.admin.multi().del(`${key}:streams`).set(`${key}:streams`, 'x').exec(),
  ],
  [
    'a log of another type',
    (key) => own.admin.multi().del(`${key}:events`).lpush(`${key}:events`, 'x').exec(),
  ],
  ['a position that is none', (key) => own.admin.hset(`${key}:streams`, 'n:g', 'x')],
  ['a log id that is none', (key) => own.admin.hset(`${key}:streams`, 'n:g', '1:x')],
  ['a number of bytes that is none', (key) => own.admin.hset(`${key}:streams`, 'bytes', 'x')],
  [
    'a number of a commit that is none',
    async (key) => {
      const [field = 't:'] = (await own.admin.hkeys(`${key}:streams`)).filter((name) =>
        name.startsWith('t:'),
      );
      await own.admin.hset(`${key}:streams`, field, 'x');
    },
  ],
  [
    'a number of running requests that is none',
    (key) => own.admin.hset(`${key}:streams`, 'run', 'x'),
  ],
  ['a time of trimming that is none', (key) => own.admin.hset(`${key}:streams`, 'trimmed', 'x')],
  ['no capabilities of the client', (key) => own.admin.hdel(key, 'hears')],
  ['a holder that is none', (key) => own.admin.hset(`${key}:streams`, 'h:g', 'x')],
  [
    'a young log that is none',
    (key) =>
      own.admin
        .multi()
        .del(`${key}:events`)
        .set(`${key}:events`, '1-1 m -5\nabc')
        .hset(`${key}:streams`, 'first', '1:1-1')
        .exec(),
  ],
];

describe('a session with malformed data', () => {
  it.each(HARM)('is answered or has ended, and all other sessions go on: %s', async (_, harm) => {
    const { url, mcp } = await start();
    const [bad, good] = [await openSession(url), await openSession(url)];
    await bad.client.request(url, 'ping');
    await harm(`mcp:{${bad.sessionId}}`);
    const statuses: number[] = [];
    for (let at = 0; at < 3; at += 1) {
      statuses.push((await bad.client.post(url, request(50 + at, 'ping'))).status);
    }
    statuses.push(
      (await bad.client.post(url, { jsonrpc: '2.0', method: 'notifications/x' })).status,
    );
    // The answer is a result or 404, and never 503, with which the client would try again for ever.
    for (const status of statuses) expect([200, 202, 404]).toContain(status);
    expect(await good.client.request(url, 'ping')).toMatchObject({ result: {} });
    expect(mcp.health().status).toBe('ready');
  });
});

// Bug: `null` in the place of an answer ended the process with `'id' in null`.
it('answers a batch in JSON mode although its stored answers are malformed', async () => {
  const gate = newGate();
  const { url, inbox } = await start({
    responseMode: 'json',
    tools: {
      wait: async () => {
        await gate.opened;
        return 'done';
      },
    },
  });
  const { client, sessionId } = await openSession(url, { protocolVersion: '2025-03-26' });
  const call = (id: number) => request(id, 'tools/call', { name: 'wait', arguments: {} });
  const answer = client.post(url, [call(5), call(6)]);
  const key = `mcp:{${sessionId}}`;
  let stream = '';
  await expect
    .poll(async () => {
      const fields = await own.admin.hkeys(`${key}:streams`);
      stream = fields.find((field) => field.startsWith('x:'))?.slice(2) ?? '';
      return stream;
    })
    .not.toBe('');
  const token = (await own.admin.hget(`${key}:streams`, `h:${stream}`))?.split(':')[1] ?? '';
  const add = (n: number, text: string, ...more: string[]) =>
    own.admin.xadd(`${key}:events`, '*', 's', stream, 'n', n, 'o', 0, 'm', text, ...more);
  await add(1, 'no json');
  const last = (await add(2, 'null', 'e', '1')) ?? '';
  await own.admin.hset(`${key}:streams`, `n:${stream}`, `2:${last}`);
  await own.admin.publish(inbox, `1 event ${sessionId} ${stream} ${token} 2 ${last} 1 - 0 1\n`);
  const { status, body } = await answer;
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject([
    { id: 5, error: { code: -32603 } },
    { id: 6, error: { code: -32603 } },
  ]);
  gate.open();
});

describe('a line in the inbox of a node', () => {
  const LINES = [
    '',
    '\n',
    '1',
    '1 ',
    '1 deliver',
    '2 deliver x\n{}',
    '1 deliver x -5\nabcdef',
    '1 deliver x 9\nabc',
    '1 deliver S\nnull',
    '1 deliver S\nno json',
    '1 deliver S 4\nnull{}',
    '1 logged S x',
    '1 logged S 1-1',
    '1 logged S 99999999999999999999-1',
    '1 shape S x\nnull',
    '1 shape S 9007199254740993\n',
    '1 shape S 3\nnull',
    '1 event S g t NaN 1-1 0 - 1 1\nx',
    '1 event S g t 1 x 0 - 1 1\nx',
    '1 run S s n -1\n',
    '1 run S s n 4\nnull',
    '1 run S s n 2 4\n{}null',
    '1 run S s n 9 9\n{"headers":1}',
    '1 placed S s - 1',
    '1 released r x y',
    '1 released r 1 y',
    '1 release S s t \u0000 r',
    '1 taken S s',
    '1 check S',
    '1 orphaned S',
    '1 followed S',
    '1 task',
    `1 gone ${'x'.repeat(300)}`,
    `1 check ${'S '.repeat(10_000)}`,
  ];

  it('that no node would send has no effect', async () => {
    const { url, mcp, inbox } = await start();
    const { client, sessionId } = await openSession(url);
    for (const line of LINES) {
      await own.admin.publish(inbox, line);
      await own.admin.publish(inbox, line.replace(' S', ` ${sessionId}`));
    }
    await sleep(100);
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
    expect(mcp.health().status).toBe('ready');
  });

  // Bug: the log of a session that does not exist was read for ever, while 424 MiB of lines waited.
  it('for a session that does not exist is not kept', async () => {
    const { url, inbox, mcp } = await start();
    const { client } = await openSession(url);
    await own.admin.set('mcp:{zzz}:events', 'x');
    await own.admin.publish(inbox, '1 logged zzz 5-5');
    const line = `1 deliver zzz\n"${'y'.repeat(100_000)}"`;
    const before = process.memoryUsage().heapUsed;
    for (let at = 0; at < 300; at += 1) await own.admin.publish(inbox, line);
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(60_000_000);
    expect(await own.admin.exists('mcp:{zzz}:events')).toBe(0);
    expect(mcp.health().status).toBe('ready');
  });
});
