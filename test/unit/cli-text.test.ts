import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { preview } from '../../src/cli/preview.js';
import { buildProgram } from '../../src/cli/program.js';
import { bytes, cut, duration, json, plain, widthOf } from '../../src/cli/text.js';

describe('text for a terminal', () => {
  it('what strangers wrote moves no cursor, and turns no direction', () => {
    expect(plain('a\u001b[31mb\r\nc\u009bd\u202ee')).toBe('a·[31mb··c·d·e');
    const text = json({ a: '\u009b\u202e\u001b' });
    expect(text).toBe(String.raw`{"a":"\u009b\u202e\u001b"}`);
    expect(JSON.parse(text)).toEqual({ a: '\u009b\u202e\u001b' });
  });

  it('is cut by columns, not characters', () => {
    expect(cut('abcdef', 6)).toBe('abcdef');
    expect(cut('abcdefg', 6)).toBe('abcde…');
    expect(widthOf('日本')).toBe(4);
    expect(cut('日本語', 5)).toBe('日本…');
    expect(cut('日本語', 4)).toBe('日…');
    expect(widthOf('e\u0301')).toBe(1);
    expect(cut('abc', 0)).toBe('');
  });

  it('durations and sizes', () => {
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
  ])('hides what looks like a secret: %j', (args) => {
    expect(call(args)).toContain('***');
    expect(call(args)).not.toContain('hunter2');
  });

  it('leaves alone what does not', () => {
    expect(call({ tokens: 5, progressToken: 'p', text: 'a token is a word' })).toBe(
      't {"tokens":5,"progressToken":"p","text":"a token is a word"}',
    );
  });
});

it('docs/cli.md has the help of each command as it is', () => {
  const document = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const program = buildProgram().configureHelp({ helpWidth: 100 });
  expect(document).toContain(program.helpInformation());
  for (const command of program.commands) {
    const help = command.configureHelp({ helpWidth: 100, showGlobalOptions: false });
    expect(document, command.name()).toContain(help.helpInformation());
  }
});
