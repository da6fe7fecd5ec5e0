/** What the command line says about wrong usage and wrong files. It runs in this process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { detailLines } from '../../src/cli/commands/session.js';
import { CommandError, EXIT } from '../../src/cli/exit.js';
import { Output } from '../../src/cli/print/output.js';
import { buildProgram } from '../../src/cli/program.js';
import type { SessionDetails } from '../../src/operator/observer.js';

/** An address that nothing listens on. No command gets so far. */
const REDIS = '--redis redis://127.0.0.1:1';

beforeEach(() => void vi.stubEnv('REDIS_URL', undefined));

/** Returns what the command says when it ends with an error, and its exit code. */
async function errorOf(args: string[]) {
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const error: unknown = await buildProgram()
    .parseAsync(args, { from: 'user' })
    .then(
      () => undefined,
      (reason: unknown) => reason,
    )
    .finally(() => stderr.mockRestore());
  if (!(error instanceof Error)) throw new Error('The command did not fail');
  const more = error instanceof CommandError ? error.more : [];
  const code = error instanceof CommandError ? error.exitCode : EXIT.usage;
  return { text: [error.message, ...more].join('\n'), code };
}

it.each([
  ['nodes', 'the URL of Redis is missing: give --redis URL, or set REDIS_URL'],
  ['nodes --redis localhost:6379', '--redis must be a URL'],
  ['nodes --redis redis://a,redis://b', 'several URLs need --cluster or --sentinel'],
  [`nodes --prefix a:{b} ${REDIS}`, '--prefix must not'],
  ['nodes extra', 'too many arguments'],
  ['session', "missing required argument 'id'"],
  ['sesions', 'there is no command sesions'],
  ['sessions --limit 0', 'It must be a whole number of at least 1'],
  [`events x --after y ${REDIS}`, 'It must be the id of an event, or a time'],
  [`events x --type y ${REDIS}`, 'no event has the type "y"'],
  ['export', 'give either the id of a session or --all'],
  ['export x --all', 'give either the id of a session or --all'],
  ['sessions --sort size', 'Allowed choices are id, client'],
  ['serve --port 0', 'the option --upstream is missing: give --upstream URL'],
  // Bug: it said that --redis must be a URL, although none was given.
  ['monitor', 'the URL of Redis is missing: give --redis URL, or set REDIS_URL'],
  ['monitor --web', 'the URL of Redis is missing: give --redis URL, or set REDIS_URL'],
  // Bug: options that do nothing were ignored.
  ['monitor --port 7071', '--port needs --web'],
  ['monitor --allow-kill', '--allow-kill needs --web'],
  ['monitor --once --payloads', '--payloads needs --web'],
  ['monitor --web --once', "error: option '--once' cannot be used with option '--web'"],
  [
    'monitor --web --interval 2',
    "error: option '--interval <seconds>' cannot be used with option '--web'",
  ],
  [
    'view x --output y --port 1',
    "error: option '--output <file>' cannot be used with option '--port <port>'",
  ],
])('%s says what is wrong', async (line, said) => {
  const { text, code } = await errorOf(line.split(' '));
  expect(text).toContain(said);
  expect(code).toBe(2);
});

it('view says what is wrong with a file, and how to write one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'anynode-view-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, content, said] of [
    ['missing', undefined, 'ENOENT: no such file or directory'],
    ['other', '{"hello":1}\n', 'line 1 is not a line of an export'],
    ['empty', '\n', 'it has no session'],
  ] as const) {
    const file = join(folder, name);
    if (content !== undefined) await writeFile(file, content);
    const { text } = await errorOf(['view', file]);
    expect(text).toContain(`cannot read ${file}: ${said}`);
    expect(text).toMatch(/\nto write such a file: mcp-anynode export <id> --output <file>/);
  }
});

it('marks a dead node wherever a session names it', () => {
  const stream = { name: 's', kind: 'request' as const, messages: 1, begun: true };
  const call = { id: 7, stream: 's', begun: true, method: 'tools/call', name: 'work' };
  const details = {
    info: { id: 'x', clientInfo: {}, clientCapabilities: {}, subscriptions: [], errors: 1 },
    ...{ deadNodes: ['gone'], leftMs: 1, log: { events: 1, bytes: 1 }, replicas: ['here', 'gone'] },
    streams: [{ ...stream, holder: { node: 'here', connection: 'c' }, executor: 'gone' }],
    requests: [
      { ...call, executor: 'gone' },
      { ...call, executor: 'gone', begun: false },
    ],
  } as unknown as SessionDetails;
  details.info.owner = 'gone';
  const output = new Output({ json: false, env: { NO_COLOR: '1' } });
  const lines = detailLines(details, output);
  const shown = lines.map((line) => line.replaceAll(/ {2,}/g, '  ').trim());
  expect(shown).toEqual(
    expect.arrayContaining([
      ...['owner  gone (dead)', 'server objects  here, gone (dead)'],
      ...['errors  1 request ended with an error'],
      ...['7  tools/call  work  -  gone (dead)  s', 's  request  1  here  gone (dead)'],
      '7  tools/call  work  -  gone (dead) (not begun)  s',
    ]),
  );
});
