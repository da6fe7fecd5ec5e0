/** The live view of the command line, with and without a terminal. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { redisBackplane } from '../../src/index.js';
import { RedisObservation } from '../../src/backplane/redis/redis-observation.js';
import type { Stats } from '../../src/operator/index.js';
import { Survey } from '../../src/operator/survey.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { request } from '../support/mcp-http.js';
import { startCliInTerminal } from './support/cli.js';
import { startCliCluster } from './support/cli-cluster.js';
import { startSession } from './support/serve.js';
import { eventually } from './support/signal.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

const CLEAR_REST = '\u001b[J';

/** Returns the lines of each screen without styles. A screen that has arrived in part is left out. */
function screens(stdout: string): string[][] {
  return stdout
    .split('\u001b[H')
    .slice(1)
    .filter((screen) => screen.includes(CLEAR_REST))
    .map((screen) =>
      // eslint-disable-next-line no-control-regex -- styles take no columns
      screen.replace(/\u001b\[[?\d;]*[a-zA-Z]/g, '').split(/\r*\n/),
    );
}

/** A session, and a survey of its cluster. `observation` reads Redis for the survey. */
async function startSurvey(Observation = RedisObservation) {
  const prefix = uniquePrefix();
  const a = await startSession({ backplane: redisBackplane({ redis: redisUrl(), prefix }) });
  const observation = new Observation({
    ...{ redis: redisUrl(), prefix, clock: systemClock, commandTimeoutMs: 2000, logger: console },
  });
  onTestFinished(() => observation.close());
  const survey = new Survey(observation, systemClock);
  const call = (n: number) =>
    a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n } });
  const look = async () => {
    const { traffic } = await survey.next();
    return (traffic?.events ?? []).map(({ event }) => event.direction ?? event.type);
  };
  return { ...a, prefix, observation, call, look };
}

// Bug: a request that was stored between two reads of one refresh was never shown, only its answer.
it('the monitor shows an event once that is logged during a refresh', async () => {
  let looks = 0;
  class BusyObservation extends RedisObservation {
    override async tables(ids: string[]) {
      const tables = await super.tables(ids);
      looks += 1;
      if (looks === 2) await call(1);
      return tables;
    }
  }
  const { call, look } = await startSurvey(BusyObservation);
  const seen: string[] = [];
  for (let at = 0; at < 4; at += 1) {
    seen.push(...(await look()));
    if (at === 2) await call(2);
  }
  expect(seen).toEqual(['in', 'out', 'in', 'out']);
});

// Bug: an event that was the first one of the millisecond in which a refresh began, and came after the refresh had looked
// at the log, was never shown.
it('the monitor shows an event that is logged in the millisecond of a refresh', async () => {
  const redis = connectRedis();
  let at = 0;
  let log: (() => Promise<unknown>) | undefined;
  class FastObservation extends RedisObservation {
    // Later than it is, so that the log has room for an entry of the same millisecond.
    override async now() {
      at = (await super.now()) + 5_000;
      return at;
    }
    override async tables(ids: string[]) {
      const tables = await super.tables(ids);
      await log?.();
      log = undefined;
      return tables;
    }
  }
  const { sessionId, prefix, call, look } = await startSurvey(FastObservation);
  await call(1);
  log = async () => {
    const message = JSON.stringify(request(9, 'ping'));
    await redis.xadd(`${prefix}:{${sessionId}}:events`, `${at}-0`, 'm', message);
    await redis.hincrby(`${prefix}:{${sessionId}}:streams`, 'bytes', 100 + message.length);
  };
  expect(await look()).toEqual([]);
  expect(await look()).toEqual(['in']);
  expect(await look()).toEqual([]);
});

// Bug: when Redis was too late for the last read of a refresh, what the refresh had read before was never shown.
it('the monitor shows with the next refresh what a refresh that failed had read', async () => {
  let isAway = false;
  class FallibleObservation extends RedisObservation {
    override leases(nodeIds: string[]) {
      return isAway ? Promise.reject(new Error('too late')) : super.leases(nodeIds);
    }
  }
  const { call, look } = await startSurvey(FallibleObservation);
  expect(await look()).toEqual([]);
  await call(1);
  isAway = true;
  await expect(look()).rejects.toThrow('too late');
  isAway = false;
  expect(await look()).toEqual(['in', 'out']);
});

describe('the monitor without a terminal', () => {
  it('with --once prints nodes, sessions and totals, as text or as one JSON document', async () => {
    const { a, b, held, ask } = await startCliCluster();
    await a.client.listen(b.url);
    const call = a.client.post(a.url, request(7, 'tools/call', { name: 'hold', arguments: {} }));
    const stats = await eventually(async () => {
      const found = JSON.parse((await ask('monitor', '--once', '--json')).stdout) as Stats;
      return found.totals.requests === 1 && found;
    });
    expect(stats.nodes.map(({ id }) => id)).toEqual([a.mcp.nodeId, b.mcp.nodeId].sort());
    expect(stats).toMatchObject({
      ...{ nodesComplete: true, listed: 1, sampled: false },
      totals: { streams: 2, followed: 2, requests: 1 },
      sessions: [{ info: { id: a.sessionId }, streams: 2, followed: 2, requests: 1 }],
    });
    const { stdout } = await ask('monitor', '--once');
    expect(stdout).toContain('2 nodes  ·  1 session  ·  2 streams, 2 followed  ·  1 running');
    expect(stdout).toContain(a.sessionId);
    held.open();
    await (await call).answer(7);
  });

  it('prints traffic and rates again and again', async () => {
    const { a, begin } = await startCliCluster();
    const watching = begin('monitor', '--interval', '0.2');
    await watching.until('1 session ');
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 'seen' } });
    await watching.until(/TRAFFIC\n.*tools\/call 2 echo \{"n":"seen"\}\n/);
    expect(watching.stdout).toMatch(/[1-9][\d.]* events\/s {2}· {2}[\d.]+ k?B\/s/);
    expect(watching.stdout).not.toContain('\u001b');
    watching.kill('SIGINT');
    expect(await watching.ended).toMatchObject({ code: 130 });
  });
});

describe('the monitor in a terminal', () => {
  it('fills the screen, says when Redis is away, and restores the screen at its end', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes'] });
    onTestFinished(redis.stop);
    const { a, at } = await startCliCluster(redis.url);
    const command = ['monitor', '--interval', '0.2', '--timeout', '500', ...at];
    const watching = startCliInTerminal(command, { columns: 80, rows: 24 });
    await watching.until('2 nodes');
    expect(watching.stdout.startsWith(ENTER)).toBe(true);
    await a.client.request(a.url, 'tools/call', {
      name: 'echo',
      arguments: { n: 'x'.repeat(200) },
    });
    await watching.until('TRAFFIC');
    await redis.halt();
    await watching.until('cannot be reached');
    await redis.start();
    const before = watching.stdout.length;
    await eventually(() => /\d nodes/.test(watching.stdout.slice(before)), 10_000);
    watching.type('q');
    const { code, stdout } = await watching.ended;
    expect(code).toBe(0);
    expect(stdout.endsWith(LEAVE)).toBe(true);
    for (const shown of screens(stdout)) {
      expect(shown.length).toBeLessThanOrEqual(24);
      for (const line of shown) expect(line.length).toBeLessThanOrEqual(80);
    }
  });

  it('shows the keys on `?`, and the selected session on Enter', async () => {
    const { a, held, at } = await startCliCluster();
    const call = a.client.post(a.url, request(7, 'tools/call', { name: 'hold', arguments: {} }));
    const command = ['monitor', '--interval', '0.2', ...at];
    const watching = startCliInTerminal(command, { columns: 140 });
    const shows = async (...texts: string[]) =>
      eventually(() => {
        const shown = (screens(watching.stdout).at(-1) ?? []).join('\n');
        return texts.every((text) => shown.includes(text));
      }, 10_000);
    await shows('? for help', '2 nodes', a.sessionId);
    watching.type('?');
    await shows('Esc or ←', 'back to the overview');
    // The same key closes the help. Then the arrow selects the first session.
    watching.type('?\u001b[B');
    await shows(`> ${a.sessionId}`);
    watching.type('\r');
    await shows('principal       anonymous', 'tools/call  hold');
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 'live' } });
    await shows('TRAFFIC', 'echo {"n":"live"}');
    watching.type('\u001b');
    await shows('2 nodes', `> ${a.sessionId}`);
    watching.type('q');
    expect((await watching.ended).code).toBe(0);
    held.open();
    await (await call).answer(7);
  });

  it('ends with code 130 on Ctrl-C, and restores the screen', async () => {
    const { at } = await startCliCluster();
    const typed = startCliInTerminal(['monitor', ...at]);
    await typed.until('2 nodes');
    typed.type('\u0003');
    const ended = await typed.ended;
    expect(ended.code).toBe(130);
    expect(ended.stdout.endsWith(LEAVE)).toBe(true);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('ends on %s with code %i, and restores the screen', async (signal, code) => {
    const { at } = await startCliCluster();
    const watching = startCliInTerminal(['monitor', ...at]);
    await watching.until('2 nodes');
    await watching.signal(signal);
    const ended = await watching.ended;
    expect(ended.code).toBe(code);
    expect(ended.stdout.endsWith(LEAVE)).toBe(true);
  });

  it('adapts to another window size at once', async () => {
    const { a, at } = await startCliCluster();
    const command = ['monitor', '--interval', '3600', ...at];
    const watching = startCliInTerminal(command, { columns: 100, rows: 30 });
    await watching.until(CLEAR_REST);
    const size = { cols: 100, rows: 30 };
    for (const [side, length] of [
      ['rows', 8],
      ['cols', 50],
      ['cols', 120],
      ['rows', 40],
    ] as const) {
      size[side] = length;
      const before = screens(watching.stdout).length;
      await watching.resize(side, length);
      await eventually(() => screens(watching.stdout).length > before, 10_000);
      const shown = screens(watching.stdout).at(-1) ?? [];
      expect(shown.length).toBeLessThanOrEqual(size.rows);
      expect(Math.max(...shown.map((line) => line.length))).toBeLessThanOrEqual(size.cols);
      // A line has room for all of it, or not.
      expect(shown.join().includes(a.sessionId)).toBe(size.cols > 50);
    }
    expect(screens(watching.stdout)).toHaveLength(5);
    watching.type('q');
    expect((await watching.ended).code).toBe(0);
  });
});
