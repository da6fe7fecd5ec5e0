import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { preview } from '../../src/cli/print/preview.js';
import { buildProgram } from '../../src/cli/program.js';
import { bytes, cut, duration, json, plain, widthOf } from '../../src/cli/print/text.js';

describe('text for a terminal', () => {
  it('from outside moves no cursor and changes no writing direction', () => {
    expect(plain('a\u001b[31mb\r\nc\u009bd\u202ee')).toBe(
      String.raw`a\u001b[31mb\r\nc\u009bd\u202ee`,
    );
    const text = json({ a: '\u009b\u202e\u001b' });
    expect(text).toBe(String.raw`{"a":"\u009b\u202e\u001b"}`);
    expect(JSON.parse(text)).toEqual({ a: '\u009b\u202e\u001b' });
  });

  // Some of these characters were not escaped, so that a name could look like another one.
  it.each([
    ...[
      '\u061c',
      '\u200b',
      '\u200d',
      '\u200e',
      '\u2028',
      '\u2060',
      '\u2066',
      '\u206f',
      '\ufeff',
      '\ufff9',
    ],
    ...[
      '\u00ad',
      '\u034f',
      '\u115f',
      '\u180e',
      '\u3164',
      '\ufe0f',
      '\ud800',
      '\u{e0041}',
      '\u{e0100}',
      '\u{1d173}',
    ],
  ])('shows %j as an escape, and says the same in JSON', (char) => {
    expect(plain(`a${char}b`)).toMatch(/^a(\\u[0-9a-f]{4})+b$/);
    const text = json({ [char]: char });
    expect(text).toMatch(/^\{"(\\u[0-9a-f]{4})+":"(\\u[0-9a-f]{4})+"\}$/);
    expect(JSON.parse(text)).toEqual({ [char]: char });
  });

  it('is cut by columns instead of characters', () => {
    expect(cut('abcdef', 6)).toBe('abcdef');
    expect(cut('abcdefg', 6)).toBe('abcde…');
    expect(widthOf('日本')).toBe(4);
    // Emoji of older parts of Unicode counted as one column: the columns behind them stood too far to the right.
    expect(widthOf('⌚✅🚀')).toBe(6);
    expect(widthOf('🇨🇭')).toBe(2);
    expect(cut('日本語', 5)).toBe('日本…');
    expect(cut('日本語', 4)).toBe('日…');
    expect(widthOf('e\u0301')).toBe(1);
    expect(cut('abc', 0)).toBe('');
  });

  it('shows durations and sizes', () => {
    expect([400, 9_999, 59_600, 61_000, 3_600_000, 90_061_000].map(duration)).toEqual([
      '0.4s',
      '10.0s',
      '1m',
      '1m 1s',
      '1h',
      '1d 1h',
    ]);
    expect([999, 1000, 999_960, 4e6].map(bytes)).toEqual(['999 B', '1.0 kB', '1.0 MB', '4.0 MB']);
  });
});

describe('a preview', () => {
  const call = (args: unknown): string =>
    preview({
      ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
      params: { name: 't', arguments: args, _meta: { progressToken: 'p' } },
    });

  it.each([
    { password: 'hunter2' },
    { nested: { accessToken: 'hunter2' } },
    { 'api-key': 'hunter2' },
    { text: 'Authorization: Bearer hunter2' },
    { text: '{"client_secret":"hunter2"}' },
    { text: 'https://x.example/?token=hunter2&a=b' },
    { text: 'eyJhbGciOi.hunter2.c2ln' },
    { text: 'postgres://bob:hunter2@db.example:5432/x' },
    { text: 'redis://:hun@ter:hunter2@cache' },
    { text: '{"password": "two words, hunter2"}' },
    { text: "DB_PASSWORD='hunter2 and more'" },
    { text: 'psql --password hunter2 -h db' },
    { text: 'AccountKey=hunter2==;EndpointSuffix=x' },
    { text: 'Cookie: a=b; sid=hunter2' },
    { text: 'Authorization: Digest username="x", response="hunter2"' },
    { text: '-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----' },
    { passwords: ['hunter2'], awsSecretAccessKey: { value: 'hunter2' }, sig: 'hunter2' },
  ])('hides what looks like a secret: %j', (args) => {
    expect(call(args)).toContain('***');
    expect(call(args)).not.toMatch(/hunter2/i);
  });

  it.each([
    'AKIAIOSFODNN7EXAMPLE',
    `ghp_${'a1B2'.repeat(9)}`,
    `github_pat_${'a1B2_'.repeat(9)}`,
    `glpat-${'a1B2'.repeat(5)}`,
    `sk-proj-${'a1B2-'.repeat(9)}`,
    `sk_live_${'a1B2'.repeat(6)}`,
    'xoxb-123456789012-abcdefghij',
    `AIza${'a1B2-'.repeat(7)}`,
    `npm_${'a1B2'.repeat(9)}`,
    `eyJ${'a1B2'.repeat(500)}.x.y`,
  ])('hides a key that can be told by its beginning: %s', (key) => {
    expect(call({ text: `use ${key} for it` })).toMatch(/use \*\*\* for it|use …/);
    expect(call({ text: key })).not.toContain(key.slice(4, 12));
    // If the preview cuts a key, the remaining part is hidden, too.
    for (const before of [980, 990, 995]) {
      expect(call({ text: `${'x'.repeat(before)} ${key}` })).not.toContain(key.slice(0, 9));
    }
  });

  it('keeps text that is no secret', () => {
    expect(call({ tokens: 5, progressToken: 'p', text: 'a token is a word' })).toBe(
      't {"tokens":5,"progressToken":"p","text":"a token is a word"}',
    );
    const text =
      'see http://localhost:3000/users/@me, sk-1, a multi-token word, the author: me, risk-averse';
    expect(call({ text })).toContain(text);
  });

  // One such value ended the commands `events` and `monitor`.
  it.each<[unknown, string]>([
    [
      { method: 'tools/call', params: { name: { toString: 1 }, arguments: null } },
      '{"toString":1} null',
    ],
    [{ method: 'tools/call', params: null }, 'null'],
    [{ method: 'tools/call', params: 'text' }, 'text'],
    [{ method: { toString: 1 }, params: { a: 1 } }, '{"a":1}'],
    [{ method: 'resources/read', params: { uri: ['x'] } }, '["x"]'],
    [{ method: 'notifications/message', params: { level: {}, data: [] } }, '{} []'],
    [{ method: 'x', params: { _meta: 1, a: { _meta: 2 } } }, '{"a":{"_meta":2}}'],
    [{ error: null }, 'error'],
    [{ error: { code: { valueOf: 1 }, message: 7 } }, 'error {"valueOf":1} 7'],
    [{ result: null }, 'null'],
    [{ result: { content: [null], isError: true } }, 'failed: {"content":[null],"isError":true}'],
    [{ result: { content: { 0: 1 } } }, '{"content":{"0":1}}'],
    [JSON.parse('{"method":"x","params":{"__proto__":{"x":1}}}'), '{"__proto__":{"x":1}}'],
    [null, 'null'],
    [7, '7'],
  ])('shows a value that is no message: %j', (message, text) => {
    expect(preview(message)).toBe(text);
  });
});

it('docs/cli.md has the help text of each command', () => {
  const document = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const program = buildProgram().configureHelp({ helpWidth: 100 });
  expect(document).toContain(program.helpInformation());
  for (const command of program.commands) {
    const help = command.configureHelp({ helpWidth: 100, showGlobalOptions: false });
    expect(document, command.name()).toContain(help.helpInformation());
  }
});
