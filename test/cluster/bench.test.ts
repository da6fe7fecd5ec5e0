/**
 * Runs the benchmarks from the command to the figures. The figures themselves are not checked, because a machine that
 * runs tests has other things to do.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allowedCounts, grownCounts } from '../../bench/report/counts.js';
import type { Table } from '../../bench/report/table.js';
import type { Spread } from '../../bench/run/spread.js';
import { startNode } from '../rig/processes.js';
import { startRedis } from '../rig/redis.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

interface Found {
  machine: Record<string, string>;
  tables: Table[];
  targets: Table;
  figures: Record<string, Spread>;
}

/** The tables that each scenario has to print, by the beginnings of their titles. */
const EXPECTED = {
  counts: ['Counted for each call'],
  'tools-call': [
    'tools/call, SSE, concurrency 1',
    'tools/call, SSE, concurrency 16',
    'tools/call, SSE, concurrency 64',
    'tools/call, JSON, concurrency 1',
    'tools/call, JSON, concurrency 16',
    'tools/call, JSON, concurrency 64',
  ],
  network: [
    'tools/call, SSE, concurrency 1, 1 ms to Redis',
    'tools/call, SSE, concurrency 1, 5 ms to Redis',
  ],
  'many-calls': ['tools/call, SSE, 10 sessions with 8 calls at once'],
  'large-results': ['tools/call, SSE, results of 64 KiB'],
  telemetry: ['Telemetry: tools/call on Redis, concurrency 16'],
  audit: ['Audit: tools/call on Redis, concurrency 16'],
  handshake: ['Handshake, concurrency 16'],
  notification: ['Notification to a GET stream'],
  elicitation: ['Elicitation round trip, concurrency 1', 'Elicitation round trip, concurrency 16'],
  resume: ['Resume after 10 missed events', 'Resume after 100 missed events'],
  rehydration: ['Rehydration'],
  'fan-out': ['Fan-out of one notify to 40 open streams'],
  memory: ['Memory'],
  growth: ['Growth: the same 64 callers', 'Growth: 300 calls/s'],
};

const TARGETS = 38;

describe('npm run bench -- --quick', () => {
  let folder: string;
  let printed: string;
  let found: Found;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'anynode-bench-'));
    const json = join(folder, 'results.json');
    const args = ['run', '--silent', 'bench', '--', '--quick', '--json', json];
    ({ stdout: printed } = await run('npm', args, { cwd: root }));
    found = JSON.parse(await readFile(json, 'utf8')) as Found;
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(Object.entries(EXPECTED))('prints the tables of %s', (scenario, titles) => {
    const section = printed.split(`\n== ${scenario} ==\n`)[1]?.split('\n== ')[0] ?? '';
    for (const title of titles) {
      expect(section).toContain(`\n${title}`);
      const table = found.tables.find((each) => each.title.startsWith(title));
      // Each contestant has its row, and at least one figure in it.
      expect(table?.rows.length).toBeGreaterThan(1);
      for (const [name, ...cells] of table?.rows ?? []) {
        expect(cells.join(' '), name).toMatch(/\d/);
        expect(section).toContain(name);
      }
    }
  });

  it('prints no other tables, and only figures in them', () => {
    expect(found.tables).toHaveLength(Object.values(EXPECTED).flat().length);
    const cells = found.tables.flatMap(({ rows }) => rows.flat());
    expect(cells.filter((cell) => /NaN|undefined|Infinity/.test(cell))).toEqual([]);
  });

  it('compares the figures with every target, and names the machine', () => {
    expect(found.targets.rows).toHaveLength(TARGETS);
    for (const [title, , value, met] of found.targets.rows) {
      expect(value, title).toMatch(/^-?\d/);
      expect(met, title).toMatch(/^(yes|no)$/);
    }
    expect(printed).toContain('\nTargets\n');
    expect(Object.keys(found.machine)).toEqual(
      expect.arrayContaining(['Processor', 'Node', 'Redis']),
    );
  });

  it('delays each round trip to Redis by as many milliseconds as the table says', () => {
    for (const ms of [1, 5]) {
      expect(found.figures[`network.${ms}.ping.p50`]?.low).toBeGreaterThanOrEqual(ms);
    }
  });

  // The counts do not depend on the speed of the machine.
  it('counts no more for each call than bench/counts.json allows', async () => {
    const allowed = await allowedCounts();
    expect(grownCounts(Object.entries(found.figures), allowed)).toEqual([]);
    const ofOtherNodes = (name: string) =>
      name.includes('.node') && !name.endsWith(`.node${process.versions.node.split('.')[0]}`);
    const checked = Object.keys(allowed).filter((name) => !ofOtherNodes(name));
    const isCounted = (name: string) => process.platform === 'linux' || !name.endsWith('.writes');
    expect(Object.keys(found.figures)).toEqual(expect.arrayContaining(checked.filter(isCounted)));
  });
});

it('bench/run/slow-link.ts passes on large and small data in their order', async () => {
  const server = await startRedis();
  const link = await startNode({
    script: new URL('../../bench/run/slow-link.ts', import.meta.url),
    env: { REDIS_URL: server.url, ROUND_TRIP_MS: '3' },
  });
  const redis = new Redis(link.port, '127.0.0.1');
  try {
    const large = 'abcdefghij'.repeat(100_000);
    const replies: Promise<unknown>[] = [];
    for (let at = 0; at < 100; at += 1) {
      replies.push(redis.incr('counter'), redis.echo(`${at} ${at % 10 === 0 ? large : ''}`));
      // The next ones are sent in a later turn of the event loop, while these are under way.
      if (at % 7 === 0) await new Promise(setImmediate);
    }
    const expected = Array.from({ length: 100 }, (_, at) => [
      at + 1,
      `${at} ${at % 10 === 0 ? large : ''}`,
    ]).flat();
    // No diff is printed, because the texts are long.
    const found = await Promise.all(replies);
    expect(found.length === 200 && found.every((reply, at) => reply === expected[at])).toBe(true);
  } finally {
    redis.disconnect();
    await link.stop();
    await server.stop();
  }
}, 30_000);

it('bench/main.ts --only soak finds the memory of the nodes and of Redis about as large as before', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'anynode-bench-'));
  const json = join(folder, 'results.json');
  const args = ['--quick', '--only', 'soak', '--minutes', '0.05', '--json', json];
  await run(process.execPath, ['--import', 'tsx', 'bench/main.ts', ...args], { cwd: root });
  const { figures, targets } = JSON.parse(await readFile(json, 'utf8')) as Found;
  await rm(folder, { recursive: true });
  expect(Object.keys(figures)).toEqual(['soak.node', 'soak.redis']);
  expect(targets.rows.map((row) => row.at(-1))).toEqual(['yes', 'yes']);
}, 120_000);

it('bench/interception.ts --quick prints calls/s, latency and CPU of each way, measured in the same rounds', async () => {
  const args = ['--import', 'tsx', 'bench/interception.ts', '--quick'];
  const { stdout } = await run(process.execPath, args, { cwd: root });
  for (const way of ['plain', 'server', 'handler', 'upstream']) {
    expect(stdout).toMatch(new RegExp(`^${way} +[1-9]\\d* +\\d+\\.\\d\\d +[1-9]\\d*$`, 'm'));
  }
}, 60_000);
