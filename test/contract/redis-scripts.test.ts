/** How scripts are sent to Redis. */
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { defineScripts } from '../../src/backplane/redis/commands/scripts.js';
import { SCRIPT_TEXTS } from '../../src/backplane/redis/commands/script-texts.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { FailedStep } from '../../src/protocol/errors.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { detach, TestNode } from './suite/rig.js';

function connect(url = redisUrl(), options: { commandTimeout?: number } = {}) {
  const client = new Redis(url, options);
  onTestFinished(() => client.disconnect());
  return defineScripts(client);
}

const record = () => `${uniquePrefix()}:record`;

it('each call is carried out once when Redis forgets the scripts', async () => {
  // A Redis of its own, because other tests count how often their scripts run.
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const [client, admin] = [connect(redis.url), connect(redis.url)];
  const key = record();
  await client.hset(key, 'rev', '1');
  for (let round = 0; round < 20; round += 1) {
    const calls = Array.from({ length: 20 }, (_, at) => {
      if (at % 5 === 0) void admin.script('FLUSH');
      return client['anynode:state'](key, `value ${at}`, '', `${round}.${at}`, 'mark', 1, 60_000);
    });
    await client.script('FLUSH');
    const after = client['anynode:state'](key, 'last', '', `${round}`, 'mark', 1, 60_000);
    expect(new Set(await Promise.all([...calls, after]))).toEqual(new Set(['stored']));
  }
  // The count is that of the calls. A repeat would have been counted, too.
  expect(await client.hget(key, 'stv')).toMatch(/^420\./);
});

it('arguments arrive unchanged, and a call rejects with the error of Redis', async () => {
  const client = connect();
  const key = record();
  await client.hset(key, 'rev', '1');
  const value = 'ä € 😀 \r\n$3\r\n \u0000 end';
  expect(await client['anynode:state'](key, value, '', 'node', 'a', 1, 60_000)).toBe('stored');
  expect(await client.hget(key, 'st')).toBe(value);
  // Halves of a surrogate pair are no characters on the wire. They must not form a character with the text next to them.
  for (const [at, text] of ['\ude00 \ud83d', '😀'.repeat(300_000), '', '\u0000'].entries()) {
    const token = `\ude00${at}\ud83d`;
    expect(await client['anynode:state'](key, text, '', 'node', token, 2 + at, 60_000)).toBe(
      'stored',
    );
    expect(await client.hget(key, 'st')).toBe(Buffer.from(text).toString());
  }
  await client.set(`${key}:text`, 'no hash');
  const failing = client['anynode:state'](`${key}:text`, value, '', 'node', 'b', 9, 60_000);
  await expect(failing).rejects.toThrow('WRONGTYPE');
  // ioredis adds the arguments of a command to its error. Those of a script contain texts of clients, and errors are
  // logged.
  const error: unknown = await failing.catch((reason: unknown) => reason);
  expect(error).toMatchObject({ command: { name: 'evalsha' } });
  expect(inspect(error, { depth: 9 })).not.toContain(value.slice(0, 5));
});

// Bug: a script that Redis had forgotten was sent again after the next one, which another node had loaded meanwhile.
it('messages to a node keep their order when Redis forgets the script', async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const [client, node] = [connect(redis.url), connect(redis.url)];
  const heard: string[] = [];
  node.on('message', (_, text) => heard.push(text));
  await node.subscribe('inbox');
  const send = (text: string) => client['anynode:send']('lease', 'inbox', text);
  await send('first');
  await Promise.all([
    client.script('FLUSH'),
    send('second'),
    client.script('LOAD', SCRIPT_TEXTS.send ?? ''),
    send('third'),
  ]);
  await expect.poll(() => heard).toEqual(['first', 'second', 'third']);
});

// Bug: the caller had tried again by then. The second try did not know of the first one, and a message was queued twice.
it('a script that has timed out is not sent again, although Redis has forgotten it', async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const [client, admin] = [connect(redis.url, { commandTimeout: 100 }), connect(redis.url)];
  const key = record();
  await admin.hset(key, 'rev', '1');
  const store = (value: string) =>
    client['anynode:state'](key, value, '', value, 'mark', 1, 60_000);
  expect(await store('before')).toBe('stored');
  await admin.script('FLUSH');
  await admin.client('PAUSE', 60_000, 'WRITE');
  await expect(store('late')).rejects.toThrow('Command timed out');
  delete client.options.commandTimeout;
  await admin.client('UNPAUSE');
  // The refusal comes with the first reply. Commands that are sent because of it are answered before the second reply.
  await client.ping();
  await client.ping();
  expect(await admin.hget(key, 'st')).toBe('before');
});

// Bug: each error of a script was taken for malformed data, and the session was deleted. A fault in a script caused that,
// and so did an operation of another release which this release does not know.
it('a script that fails ends no session, and does not disturb other sessions', async () => {
  const backplane = redisBackplane({ redis: redisUrl(), prefix: uniquePrefix() });
  const node = new TestNode(backplane);
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();
  const [id, other] = [await node.create(), await node.create()];
  await node.hold(id, 'g');
  await node.say(other, 'g', 'message');
  const position = { n: 'no number' as never, logId: '1-1' };
  await expect(node.commit(id, detach('g', 't1', position))).rejects.toThrow(FailedStep);
  const streams = [{ stream: 'g', token: 't1', position }];
  const otherStreams = [{ stream: 'g', token: 't1', position: { n: 0, logId: '0-0' } }];
  const touched = await node.backplane.touch([
    { sessionId: id, streams },
    { sessionId: other, streams: otherStreams },
  ]);
  expect(touched).toMatchObject([
    { status: 'ok', streams: [{ held: true, ended: false }] },
    { status: 'ok', streams: [{ last: 1, held: false }] },
  ]);
  expect(await node.backplane.load(id)).toMatchObject({ id });
  expect(node.warnings).toEqual([expect.stringContaining(`a script failed in session ${id}`)]);
});
