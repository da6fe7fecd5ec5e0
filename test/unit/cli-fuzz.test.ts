/** The output of the operator's tools for foreign text, with generated input from fixed seeds. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventLine } from '../../src/cli/print/event-line.js';
import { Output } from '../../src/cli/print/output.js';
import { preview } from '../../src/cli/print/preview.js';
import { clientOf } from '../../src/cli/commands/sessions.js';
import { Table } from '../../src/cli/print/text-table.js';
import { cut, json, plain, widthOf } from '../../src/cli/print/text.js';
import type { LogEntry, SessionRecord } from '../../src/backplane/backplane.js';
import { eventOf } from '../../src/operator/event-of-entry.js';
import { jsonLine } from '../../src/operator/export-lines.js';
import { infoOf } from '../../src/replica/session-info.js';

const RUNS = { seed: 20251125, numRuns: 400 };

const output = (columns: number): Output => {
  const stdout = Object.create(process.stdout, {
    ...{ isTTY: { value: true }, columns: { value: columns }, rows: { value: 24 } },
  }) as NodeJS.WriteStream;
  return new Output({ json: false, stdout, env: { NO_COLOR: '1' } });
};

/** Any names and texts, and often those that have a meaning somewhere. */
const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'name',
  'uri',
  'message',
  'code',
  'data',
  'password',
  '_meta',
];
const TEXTS = [
  '\u001b[2J',
  '\u202e',
  '\ud800',
  '\u200b',
  'Bearer x',
  '//a:b@',
  'eyJ',
  '"',
  '\\',
  'password=',
  '\u0301',
];
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(...TEXTS),
  fc
    .array(fc.constantFrom(...TEXTS), { minLength: 1, maxLength: 300 })
    .map((parts) => parts.join('')),
);
const name = fc.oneof(fc.constantFrom(...NAMES), text);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    ...[fc.constantFrom(null, true, 0, -1.5, 1e21), text],
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 5 }).map(Object.fromEntries),
  ),
}));
const METHODS = [
  'tools/call',
  'prompts/get',
  'resources/read',
  'notifications/message',
  'notifications/cancelled',
  'initialize',
];
const message = fc.oneof(
  value,
  fc.record(
    {
      jsonrpc: value,
      id: value,
      method: fc.oneof(fc.constantFrom(...METHODS), value),
      params: value,
    },
    { requiredKeys: ['method'] },
  ),
  fc.record({ id: value, result: value }),
  fc.record({ id: value, error: value }),
);

/** Expects a text without control characters, changes of the writing direction, or invisible characters. */
function expectHarmless(line: string): void {
  expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u);
}

const entry = (stored: string): LogEntry => ({
  ...{ logId: '5-0', at: 1e12, direction: 'in', stream: 'g', asker: undefined, message: stored },
});

describe('foreign text in the store', () => {
  it('is shown as an event of one harmless line, and exported as exactly the same JSON', () => {
    fc.assert(
      fc.property(message, fc.integer({ min: 1, max: 200 }), (said, columns) => {
        const event = eventOf(entry(JSON.stringify(said)));
        const line = eventLine(event, output(columns), { session: 'session' });
        expectHarmless(line);
        expectHarmless(json(event));
        const isMessage = typeof said === 'object' && said !== null && !Array.isArray(said);
        const shown = isMessage ? (JSON.parse(JSON.stringify(said)) as unknown) : undefined;
        expect((JSON.parse(json(event)) as { message?: unknown }).message).toEqual(shown);
        expect(JSON.parse(jsonLine('s', event))).toEqual({
          v: 1,
          session: 's',
          ...(JSON.parse(json(event)) as object),
        });
      }),
      RUNS,
    );
  });

  it('is shown as a note or an unreadable event if it is no message', () => {
    fc.assert(
      fc.property(fc.oneof(text, fc.json()), fc.boolean(), (stored, isNote) => {
        const note = { kind: 'request.failed' as const, nodeId: stored, request: stored };
        const { message: none, ...rest } = entry(stored);
        const event = eventOf(
          isNote ? { ...rest, message: undefined, note } : { ...rest, message: none },
        );
        expectHarmless(eventLine(event, output(80)));
        expectHarmless(json(event));
      }),
      RUNS,
    );
  });

  it('is shown as one row of a table', () => {
    fc.assert(
      fc.property(message, fc.boolean(), (params, active) => {
        const record = { id: 's', initialize: JSON.stringify(params), active, subscriptions: [] };
        const info = infoOf({
          ...record,
          protocolVersion: '2025-11-25',
        } as unknown as SessionRecord);
        expect(typeof info.clientInfo.name).toBe('string');
        expect(typeof info.clientInfo.version).toBe('string');
        const table = new Table([{ title: 'CLIENT', of: clientOf, shrinks: true }], output(40));
        for (const line of table.lines([info])) expectHarmless(line);
        expectHarmless(json(info));
      }),
      RUNS,
    );
  });

  it('is cut to the width of its columns', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 50 }), (said, width) => {
        expect(widthOf(cut(plain(said), width))).toBeLessThanOrEqual(width);
      }),
      RUNS,
    );
  });
});

describe('a huge message', () => {
  const MB = 1_000_000;
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const of = (params: unknown) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
  // The time of the pattern that hides tokens grew with the square of their length. A text of 400 kB stopped the monitor.
  it.each<[string, unknown]>([
    ['a name of control characters', of({ name: '\u001b'.repeat(4 * MB) })],
    ['a text that might be a token', of({ name: 't', arguments: { text: 'eyJ-'.repeat(MB) } })],
    ['a text that might be pairs', of({ name: 't', arguments: { text: 'token'.repeat(MB) } })],
    ['a text of quotes', of({ name: 't', arguments: { text: 'password="'.repeat(MB / 2) } })],
    ['a text of URIs', of({ name: 't', arguments: { text: '//:'.repeat(MB) } })],
    ['a text of spaces', of({ name: 't', arguments: { text: `Bearer${' '.repeat(4 * MB)}` } })],
    ['marks above one letter', of({ name: `e${'\u0301'.repeat(4 * MB)}` })],
    ['wide characters', of({ name: '\u65e5'.repeat(4 * MB) })],
    [
      'many members',
      of({
        name: 't',
        arguments: Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k${at}`, at])),
      }),
    ],
    ['many items', of({ name: 't', arguments: Array.from({ length: MB }, () => 0) })],
    ['a method', { jsonrpc: '2.0', method: '\u0301'.repeat(4 * MB) }],
    ['an id', { jsonrpc: '2.0', id: '\u202e'.repeat(MB), result: {} }],
  ])('%s is printed within 250 ms', (_, said) => {
    const stored = JSON.stringify(said);
    const event = eventOf(entry(stored));
    const before = process.cpuUsage();
    const line = eventLine(event, output(120));
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(250);
    expectHarmless(line);
    expect(widthOf(line)).toBeLessThanOrEqual(120);
  });

  // Deep nesting overflowed the stack of `JSON.stringify`, and the command ended.
  it.each(['id', 'method', 'params', 'result'])(
    'is unreadable if it is nested deep in its %s',
    (member) => {
      const event = eventOf(entry(`{"jsonrpc":"2.0","method":"x","${member}":${deep}}`));
      expect(event).toMatchObject({ unreadable: true, message: undefined });
      expect(jsonLine('s', event)).toContain('"unreadable":true');
      const record = { id: 's', initialize: `{"clientInfo":{"name":${deep}}}`, subscriptions: [] };
      expect(infoOf(record as unknown as SessionRecord)).toMatchObject({ unreadable: true });
    },
  );

  it('of a million bytes is previewed with its beginning', () => {
    expect(preview(of({ name: 'x y '.repeat(MB) })).length).toBeLessThan(3_000);
    expect(preview(of({ name: 't', arguments: { text: 'x'.repeat(MB) } }))).toBe(
      `t {"text":"${'x'.repeat(80)}…"}`,
    );
  });
});
