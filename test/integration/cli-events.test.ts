/** The commands that print, follow and export the events of sessions. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import type { SessionEvent, SessionInfo } from '../../src/index.js';
import { jsonLines, lines } from './support/cli.js';
import { NONE, startCliCluster } from './support/cli-cluster.js';
import { openSession } from './support/serve.js';
import { eventually } from './support/signal.js';

describe('the command `events`', () => {
  it('prints one line for each event, without secrets or control characters', async () => {
    const { a, ask } = await startCliCluster();
    const args = { text: 'a\u001b[2Jb\u009bc', apiKey: 'sk-123', note: 'Bearer abc.def' };
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: args });
    const { stdout, code } = await ask('events', a.sessionId);
    expect(code).toBe(0);
    const printed = lines(stdout);
    const what = printed.map((line) => line.replace(/^[-\d]+ [\d:.]+ (\S) \S+ +/, '$1 '));
    expect(what.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      ...['· session.created', '→ initialize', '← answer'],
      ...['→ notifications/initialized', '· session.initialized'],
      ...['→ tools/call', '← answer'],
    ]);
    expect(printed[5]).toContain(
      'echo {"text":"a\\u001b[2Jb\\u009bc","apiKey":"***","note":"Bearer ***"}',
    );
    // eslint-disable-next-line no-control-regex -- none is to be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(stdout).not.toMatch(/sk-123|abc\.def/);
  });

  it('prints JSON Lines with --json, and only the events that its options select', async () => {
    const { a, ask } = await startCliCluster();
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 1 } });
    const all = jsonLines<SessionEvent>((await ask('events', a.sessionId, '--json')).stdout);
    const some = async (...more: string[]) => {
      const { stdout } = await ask('events', a.sessionId, '--json', ...more);
      return jsonLines<SessionEvent>(stdout).map(({ id }) => id);
    };
    const ids = all.map(({ id }) => id);
    expect(await some('--after', ids[1] ?? '')).toEqual(ids.slice(2));
    const later = new Date(Date.now() + 60_000).toISOString();
    expect(await some('--after', '1h', '--until', later)).toEqual(ids);
    expect(await some('--limit', '2')).toEqual(ids.slice(0, 2));
    const calls = all.filter(
      ({ message }) =>
        message !== undefined && 'method' in message && message.method === 'tools/call',
    );
    expect(calls).toHaveLength(1);
    expect(await some('--method', 'tools/call,ping')).toEqual(calls.map(({ id }) => id));
    const fromServer = all.filter(({ direction }) => direction === 'out').map(({ id }) => id);
    expect(await some('--type', 'session.created,session.initialized')).toHaveLength(2);
    expect(await some('--direction', 'out')).toEqual(fromServer);
  });

  // The lines had no dates. Those of a session of last week had the same times as those of today, and were no use for `--after`.
  it('prints dates, as `--after` and `--until` take them', async () => {
    const { a, ask } = await startCliCluster();
    const { stdout } = await ask('events', a.sessionId);
    const at = lines(stdout).map(
      (line) => /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) /.exec(line)?.[1],
    );
    const last = String(at.at(-1));
    const after = await ask('events', a.sessionId, '--after', last, '--until', last);
    expect(lines(after.stdout)).toEqual(lines(stdout).filter((line) => line.startsWith(last)));
  });

  it('with --follow prints new events, and ends with the session', async () => {
    const { a, b, ask, begin } = await startCliCluster();
    const following = begin('events', a.sessionId, '--follow', '--json');
    await following.until('"notifications/initialized"');
    await a.client.request(b.url, 'tools/call', { name: 'echo', arguments: { n: 'later' } });
    await following.until('{\\"n\\":\\"later\\"}');
    await ask('kill', a.sessionId);
    const ended = await following.ended;
    expect(ended.code).toBe(0);
    const seen = jsonLines<SessionEvent>(ended.stdout).map(({ id }) => id);
    expect(seen).toEqual([...new Set(seen)].sort());
    expect(ended.stderr).toBe('');
    expect(ended.stdout).toMatch(/"type":"session.closed"[^\n]*\n$/);
  });

  it('with --follow ends on SIGINT with code 130, and on SIGTERM with 143', async () => {
    const { a, begin } = await startCliCluster();
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const following = begin('events', a.sessionId, '--follow');
      await following.until('notifications/initialized');
      following.kill(signal);
      expect(await following.ended).toMatchObject({ code, signal: null, stderr: '' });
    }
  });

  it('with --follow goes on after Redis was away for a while', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes'] });
    onTestFinished(redis.stop);
    const { a, begin } = await startCliCluster(redis.url);
    const following = begin('events', a.sessionId, '--follow', '--timeout', '500');
    await following.until('notifications/initialized');
    await redis.halt();
    await after(1500); // This is longer than a command may take.
    await redis.start();
    await eventually(() => a.mcp.health().status === 'ready', 15_000);
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 'back' } });
    await following.until('{"n":"back"}');
    expect(following.stderr).toBe('');
  });
});

describe('the command `export`', () => {
  it('prints one session or all of them, with a line before each that names the session', async () => {
    const { a, b, ask } = await startCliCluster();
    const other = await openSession(b.url);
    const one = jsonLines<{ session: string; info?: SessionInfo; id?: string }>(
      (await ask('export', a.sessionId)).stdout,
    );
    expect(one[0]).toMatchObject({ v: 1, session: a.sessionId, info: { id: a.sessionId } });
    const printed = (await ask('events', a.sessionId, '--json')).stdout;
    const events = jsonLines<SessionEvent & { time?: string }>(printed);
    for (const event of events) {
      expect(event.time).toBe(new Date(event.at).toISOString());
      delete event.time;
    }
    expect(one.slice(1)).toEqual(events.map((event) => ({ v: 1, session: a.sessionId, ...event })));
    const all = jsonLines<{ session: string; info?: SessionInfo }>(
      (await ask('export', '--all')).stdout,
    );
    const heads = all.filter(({ info }) => info !== undefined).map(({ session }) => session);
    expect(heads.sort()).toEqual([a.sessionId, other.sessionId].sort());
    expect(all).toHaveLength(2 * one.length);
  });

  it('prints one session as a Mermaid diagram without the content of messages', async () => {
    const { a, ask } = await startCliCluster();
    const { code, stdout } = await ask('export', a.sessionId, '--format', 'mermaid');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^sequenceDiagram\n {2}title session /);
    expect(stdout).toContain(`participant N1 as node ${a.mcp.nodeId}`);
    expect(stdout).toMatch(/C->>N1: initialize .*\n/);
    const all = await ask('export', '--all', '--format', 'mermaid');
    expect(all).toMatchObject({ code: 2, stdout: '' });
    expect(all.stderr).toContain('a diagram shows one session: give its id');
  });

  it('writes a file that only its owner may read, and keeps an existing file if it fails', async () => {
    const { a, ask } = await startCliCluster();
    const folder = await mkdtemp(join(tmpdir(), 'anynode-export-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'session.jsonl');
    await writeFile(file, 'before');
    expect((await ask('export', NONE, '--output', file)).code).toBe(1);
    expect(await readFile(file, 'utf8')).toBe('before');
    const ended = await ask('export', a.sessionId, '--output', file);
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr).toBe(`mcp-anynode: 1 session, 5 events in ${file}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toBe((await ask('export', a.sessionId)).stdout);
    expect(await readdir(folder)).toEqual(['session.jsonl']);
    const nowhere = await ask('export', a.sessionId, '--output', join(folder, 'no', 'file'));
    expect(nowhere.code).toBe(4);
    expect(nowhere.stderr).toContain('cannot write');
  });
});
