/** The command line beside nodes that encrypt: with their keys, with other keys, and without keys. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { SessionEvent, SessionInfo } from '../../src/index.js';
import type { SessionDetails, Stats } from '../../src/operator/index.js';
import { redisBackplane, stateAt } from '../../src/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { observe } from '../../src/operator/index.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { cli, jsonLines, lines, startCli } from './support/cli.js';
import { scriptedServer } from './support/scripted-server.js';
import { listen, startSession, openSession, startNode } from './support/serve.js';

const SECRET = 'the-plan-is-simple';

/** Starts a node that encrypts, with a session that has some messages. */
async function start() {
  const keys = { k1: randomBytes(32).toString('base64'), k2: randomBytes(32).toString('hex') };
  const prefix = uniquePrefix();
  const codec = aesGcmCodec({ keys, current: 'k2' });
  const backplane = () => redisBackplane({ redis: redisUrl(), prefix });
  const a = await startSession({ backplane: backplane(), codec });
  await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { text: SECRET } });
  const at = ['--redis', redisUrl(), '--prefix', prefix];
  const entries = Object.entries(keys).map(([id, key]) => `${id}=${key}`);
  return { ...a, ...{ keys, codec, prefix, backplane, at, entries } };
}

async function fileOf(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'anynode-keys-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'keys');
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

describe('the command line on a cluster that encrypts', () => {
  // Bug: `sessions`, `session`, `events`, `export` and `monitor` ended with a JSON error at the first record.
  it('shows without keys what is stored in clear', async () => {
    const { sessionId, at } = await start();
    for (const command of [
      ['sessions'],
      ['session', sessionId],
      ['events', sessionId],
      ['export', '--all'],
      ['monitor', '--once'],
    ]) {
      const ended = await cli([...command, ...at]);
      expect(ended, command.join(' ')).toMatchObject({ code: 0, stderr: '' });
      expect(ended.stdout).toContain(sessionId.slice(0, command[0] === 'events' ? 0 : 8));
      expect(ended.stdout).not.toContain(SECRET);
      expect(ended.stdout).not.toContain('aes1.');
      if (command[0] === 'sessions') expect(ended.stdout).toContain('(encrypted)');
    }
    const events = lines((await cli(['events', sessionId, ...at])).stdout);
    expect(events).toHaveLength(7);
    expect(events.filter((line) => line.includes('(encrypted)'))).toHaveLength(5);
    const [info] = jsonLines<SessionInfo>((await cli(['sessions', '--json', ...at])).stdout);
    expect(info).toMatchObject({ id: sessionId, unreadable: true, state: 'active' });
  });

  it('shows everything with keys from a file or from the environment', async () => {
    const { sessionId, at, entries, keys } = await start();
    const file = await fileOf(`# the current one first\n\n${entries.join('\r\n')}\n`);
    const ask = async (command: string[], env: Record<string, string> = {}) => {
      const ended = await cli([...command, ...at], env);
      expect(ended, command.join(' ')).toMatchObject({ code: 0, stderr: '' });
      for (const key of Object.values(keys)) expect(ended.stdout).not.toContain(key);
      return ended.stdout;
    };
    const shown = `echo {"text":"${SECRET}"}`;
    // The file counts if both are given.
    const both = await ask(['events', sessionId, '--key-file', file], { ANYNODE_KEYS: 'k9=no' });
    expect(both).toContain(shown);
    const env = { ANYNODE_KEYS: entries.join(',') };
    expect(await ask(['events', sessionId], env)).toContain(shown);
    expect(await ask(['sessions'], env)).toMatch(/raw 1\.0\.0/);
    const details = JSON.parse(await ask(['session', sessionId, '--json'], env)) as SessionDetails;
    expect(details.info).toMatchObject({ clientInfo: { name: 'raw' } });
    expect(details.info.unreadable).toBeUndefined();
    const stats = JSON.parse(await ask(['monitor', '--once', '--json'], env)) as Stats;
    expect(stats.sessions[0]?.info.clientInfo.name).toBe('raw');
    const [, ...exported] = jsonLines<SessionEvent>(await ask(['export', sessionId], env));
    expect(await stateAt(exported)).toMatchObject({ complete: true, received: 3 });
  });

  it('shows events and traffic live with keys', async () => {
    const { client, url, sessionId, at, entries } = await start();
    const env = { ANYNODE_KEYS: entries.join('\n') };
    const following = startCli(['events', sessionId, '--follow', ...at], env);
    const watching = startCli(['monitor', '--interval', '0.2', ...at], env);
    await following.until(SECRET);
    await watching.until('1 session ');
    await client.request(url, 'tools/call', { name: 'echo', arguments: { n: 'later' } });
    await following.until('{"n":"later"}');
    await watching.until(/TRAFFIC\n.*tools\/call \d+ echo \{"n":"later"\}\n/);
  });

  it('marks what other keys cannot open, and shows the rest', async () => {
    const { sessionId, at, keys } = await start();
    const other = randomBytes(32).toString('base64');
    for (const key of [`k1=${keys.k1}`, `k2=${other}`]) {
      const ended = await cli(['events', sessionId, ...at], { ANYNODE_KEYS: key });
      expect(ended).toMatchObject({ code: 0, stderr: '' });
      expect(ended.stdout.match(/\(encrypted\)/g)).toHaveLength(5);
      expect(ended.stdout).toContain('session.created');
    }
  });

  it('does not show an entry in clear that was put into Redis, unless --allow-plaintext is given', async () => {
    const { sessionId, at, entries, prefix } = await start();
    const forged = { jsonrpc: '2.0', id: 9, method: 'tools/call', params: { name: 'forged' } };
    await connectRedis().xadd(`${prefix}:{${sessionId}}:events`, '*', 'm', JSON.stringify(forged));
    const env = { ANYNODE_KEYS: entries.join(',') };
    const ended = await cli(['events', sessionId, ...at], env);
    expect(ended.stdout).not.toContain('forged');
    expect(ended.stdout).toContain('(encrypted)');
    const lax = await cli(['events', sessionId, '--allow-plaintext', ...at], env);
    expect(lax.stdout).toContain('tools/call 9 forged');
  });
});

it('observe() marks what it cannot read without the codec, and reads everything with it', async () => {
  const { sessionId, codec, prefix } = await start();
  const seen = async (given: Parameters<typeof observe>[0]['codec']) => {
    const observer = observe({ redis: redisUrl(), prefix, codec: given });
    onTestFinished(() => observer.close());
    const events: SessionEvent[] = [];
    for await (const event of observer.sessions.events(sessionId)) events.push(event);
    return {
      ...{ events, info: await observer.sessions.get(sessionId) },
      details: await observer.details(sessionId),
      stats: await observer.stats(),
      state: await observer.sessions.stateAt(sessionId),
    };
  };
  const blind = await seen(undefined);
  expect(blind.info).toMatchObject({ unreadable: true, clientInfo: { name: '', version: '' } });
  expect(blind.events.filter(({ unreadable }) => unreadable === true)).toHaveLength(5);
  expect(blind.state).toMatchObject({ complete: false, received: 3, sent: 2 });
  const open = await seen(codec);
  expect(open.events.map(({ unreadable }) => unreadable)).toEqual(open.events.map(() => undefined));
  expect(JSON.stringify(open.events)).toContain(SECRET);
  for (const info of [open.info, open.details?.info, open.stats.sessions[0]?.info]) {
    expect(info).toMatchObject({ clientInfo: { name: 'raw' } });
    expect(info?.unreadable).toBeUndefined();
  }
  expect(open.state).toMatchObject({ complete: true, clientInfo: { name: 'raw' } });
  const broken = { encode: (text: string) => text } as never;
  expect(() => observe({ redis: redisUrl(), codec: broken })).toThrow('`codec` has to have');
});

it('ends with code 2 for malformed keys, and does not print them', async () => {
  const key = randomBytes(32).toString('base64');
  const at = ['sessions', '--redis', redisUrl()];
  for (const [args, env, said] of [
    [[], { ANYNODE_KEYS: key }, 'ANYNODE_KEYS: entry 1 is not <id>=<key>'],
    [['--key-file', '/no/such/file'], {}, 'cannot read the keys'],
    [['--allow-plaintext'], {}, '--allow-plaintext needs keys'],
  ] as const) {
    const ended = await cli([...at, ...args], env);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(said);
    expect(ended.stderr).not.toContain(key);
  }
});

describe('the gateway with keys', () => {
  it('joins nodes that encrypt, and stores nothing in clear', async () => {
    const { entries, codec, prefix, backplane } = await start();
    const inner = await startNode({ server: () => scriptedServer() });
    const upstream = await listen(inner.app);
    const file = await fileOf(entries.join('\n'));
    const redis = ['--redis', redisUrl(), '--prefix', prefix];
    const gateway = startCli([
      ...['serve', '--upstream', upstream, '--port', '0', '--json', '--key-file', file],
      ...redis,
    ]);
    await gateway.until('\n');
    const { listening } = JSON.parse(gateway.stdout) as { listening: string };
    const { client, sessionId } = await openSession(listening);
    const said = 'over-the-gateway';
    const call = { name: 'echo', arguments: { text: said } };
    expect(JSON.stringify(await client.request(listening, 'tools/call', call))).toContain(said);
    // Another node reads what the gateway has written, and goes on with the session.
    const b = await startNode({ backplane: backplane(), codec, upstream, server: undefined });
    expect(JSON.stringify(await client.request(b.url, 'tools/call', call))).toContain(said);
    const log = await connectRedis().xrange(`${prefix}:{${sessionId}}:events`, '-', '+');
    expect(log.length).toBeGreaterThan(6);
    expect(JSON.stringify(log)).not.toContain(said);
    expect(JSON.stringify(log)).toContain('aes1.k1.');
  });
});

// The help says that only its owner may read an export. What it says of keys is for the user to see to.
it('writes an export that only its owner may read', async () => {
  const { sessionId, at, entries } = await start();
  const file = await fileOf(entries.join('\n'));
  await chmod(file, 0o400);
  const output = `${file}.jsonl`;
  const args = ['export', sessionId, '--output', output, '--key-file', file];
  expect(await cli([...args, ...at])).toMatchObject({ code: 0, stdout: '' });
  expect((await stat(output)).mode & 0o777).toBe(0o600);
  expect(await readFile(output, 'utf8')).toContain(SECRET);
});
