/** How scripts are sent. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../demo/rig/redis.js';
import { defineScripts } from '../../src/backplane/redis/scripts.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

function connect(url = redisUrl()) {
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  return defineScripts(client);
}

const record = () => `${uniquePrefix()}:record`;

it('Redis may forget them at any time: each call is answered, once', async () => {
  // One of its own: others count how often their scripts run.
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const [client, admin] = [connect(redis.url), connect(redis.url)];
  const key = record();
  await client.hset(key, 'rev', '1');
  for (let round = 0; round < 20; round += 1) {
    const calls = Array.from({ length: 20 }, (_, at) => {
      if (at % 5 === 0) void admin.script('FLUSH');
      return client['anynode:state'](key, `value ${at}`, '', 'node', `${round}.${at}`);
    });
    await client.script('FLUSH');
    const after = client['anynode:state'](key, 'last', '', 'node', `${round}`);
    expect(new Set(await Promise.all([...calls, after]))).toEqual(new Set(['stored']));
  }
  // As often as they were called, since a repeat would have been counted.
  expect(await client.hget(key, 'stv')).toBe(`${20 * 21}`);
});

it('arguments arrive as they are, and an error of Redis is what it rejects with', async () => {
  const client = connect();
  const key = record();
  await client.hset(key, 'rev', '1');
  const value = 'ä € 😀 \r\n$3\r\n \u0000 end';
  expect(await client['anynode:state'](key, value, '', 'node', 'a')).toBe('stored');
  expect(await client.hget(key, 'st')).toBe(value);
  await client.set(`${key}:text`, 'no hash');
  await expect(client['anynode:state'](`${key}:text`, value, '', 'node', 'b')).rejects.toThrow(
    'WRONGTYPE',
  );
});
