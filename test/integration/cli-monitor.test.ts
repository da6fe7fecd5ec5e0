/** The monitor in a terminal. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../demo/rig/redis.js';
import { redisBackplane } from '../../src/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startCliInTerminal } from './support/cli.js';
import { startNode, startSession } from './support/serve.js';
import { eventually } from './support/signal.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

/** Two nodes, a session that the first one has made, and where they are. */
async function start(url = redisUrl()) {
  const prefix = uniquePrefix();
  const backplane = () => redisBackplane({ redis: url, prefix });
  const a = await startSession({ backplane: backplane() });
  await startNode({ backplane: backplane() });
  return { a, at: ['--redis', url, '--prefix', prefix] };
}

/** What each screen showed, line by line, without its styles. */
function screens(stdout: string): string[][] {
  return stdout
    .split('\u001b[H')
    .slice(1)
    .map((screen) =>
      // eslint-disable-next-line no-control-regex -- styles take no columns
      screen.replace(/\u001b\[[?\d;]*[a-zA-Z]/g, '').split(/\r*\n/),
    );
}

describe('in a terminal', () => {
  it('fills it, says when Redis is away, and gives the screen back', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes'] });
    onTestFinished(redis.stop);
    const { a, at } = await start(redis.url);
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

  it('the interrupt key ends it with 130, and the screen comes back', async () => {
    const { at } = await start();
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
  ] as const)('%s ends it with %i, and the screen comes back', async (signal, code) => {
    const { at } = await start();
    const watching = startCliInTerminal(['monitor', ...at]);
    await watching.until('2 nodes');
    await watching.signal(signal);
    const ended = await watching.ended;
    expect(ended.code).toBe(code);
    expect(ended.stdout.endsWith(LEAVE)).toBe(true);
  });

  it('another size is taken up at once, not with the next look', async () => {
    const { a, at } = await start();
    const command = ['monitor', '--interval', '3600', ...at];
    const watching = startCliInTerminal(command, { columns: 100, rows: 30 });
    await watching.until('2 nodes');
    for (const size of [
      { columns: 50, rows: 8 },
      { columns: 120, rows: 40 },
    ]) {
      const before = screens(watching.stdout).length;
      await watching.resize(size);
      await eventually(() => screens(watching.stdout).length > before, 10_000);
      const shown = screens(watching.stdout).at(-1) ?? [];
      expect(shown.length).toBeLessThanOrEqual(size.rows);
      expect(Math.max(...shown.map((line) => line.length))).toBeLessThanOrEqual(size.columns);
      // There is room for all of it, or there is not.
      expect(shown.join().includes(a.sessionId)).toBe(size.columns === 120);
    }
    watching.type('q');
    expect((await watching.ended).code).toBe(0);
  });
});
