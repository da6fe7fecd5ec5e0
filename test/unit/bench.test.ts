import { describe, expect, it } from 'vitest';
import { EventReader } from '../../bench/client/event-reader.js';
import { ResponseParser } from '../../bench/client/response-parser.js';
import { parseOptions } from '../../bench/options.js';
import { chart } from '../../bench/report/chart.js';
import { countName, grownCounts } from '../../bench/report/counts.js';
import { sinceLast } from '../../bench/report/history.js';
import { withResults } from '../../bench/report/page.js';
import { targetTable } from '../../bench/report/targets.js';
import { inTurn } from '../../bench/run/rounds.js';
import { spread } from '../../bench/run/spread.js';

function parse(pieces: readonly string[]) {
  const seen: { status: number; body: string; ended: boolean }[] = [];
  const parser = new ResponseParser({
    onHead: (status) => void seen.push({ status, body: '', ended: false }),
    onText: (text) => {
      const last = seen.at(-1);
      if (last !== undefined) last.body += text;
    },
    onEnd: () => {
      const last = seen.at(-1);
      if (last !== undefined) last.ended = true;
    },
  });
  for (const piece of pieces) parser.push(piece);
  return seen;
}

describe('ResponseParser', () => {
  const wire = [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n19\r\n\r\n0\r\n\r\nlooks like an end \r\n0\r\n\r\n',
    'HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno',
  ].join('');
  const responses = [
    { status: 200, body: 'hello', ended: true },
    { status: 202, body: '', ended: true },
    { status: 204, body: '', ended: true },
    { status: 200, body: 'abc\r\n0\r\n\r\nlooks like an end ', ended: true },
    { status: 404, body: 'no', ended: true },
  ];

  it('finds the ends of responses, wherever the bytes are cut', () => {
    expect(parse([wire])).toEqual(responses);
    expect(parse(Array.from(wire))).toEqual(responses);
    for (let at = 1; at < wire.length; at += 1) {
      expect(parse([wire.slice(0, at), wire.slice(at)])).toEqual(responses);
    }
  });

  it('does not return a response that is incomplete', () => {
    expect(parse(['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'])).toEqual([
      { status: 200, body: 'abc', ended: false },
    ]);
  });

  it('refuses bytes that are no response', () => {
    expect(() => parse(['SSH-2.0-something\r\n\r\n'])).toThrow('Not a response');
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect(() => parse([`${head}xyz\r\n`])).toThrow('Not the size of a chunk');
  });
});

it('EventReader passes on events with data, wherever they are cut', () => {
  const wire = ': hello\n\nid: 1\ndata: \n\nid: 2\nevent: message\ndata: {"a":1}\n\nretry: 5\n\n';
  for (let at = 0; at < wire.length; at += 1) {
    const events: unknown[] = [];
    const reader = new EventReader((event) => void events.push(event));
    reader.push(wire.slice(0, at));
    reader.push(wire.slice(at));
    expect(events).toEqual([{ id: '2', data: '{"a":1}' }]);
  }
});

describe('rounds', () => {
  it('take turns, and leave the first ones out', async () => {
    const order: string[] = [];
    let value = 0;
    const turn = (name: string) => () => {
      order.push(name);
      return Promise.resolve({ ms: (value += 1) });
    };
    const measured = await inTurn({ rounds: 2, warmUps: 1 }, [
      ['a', turn('a')],
      ['b', turn('b')],
    ]);
    expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
    expect(measured.of('a', 'ms')).toEqual({ median: 4, low: 3, high: 5, rounds: 2 });
  });

  it('are compared within a round, so that a machine that becomes slower changes no ratio', async () => {
    let slowness = 1;
    const turn = (ms: number) => () => Promise.resolve({ ms: ms * slowness });
    const measured = await inTurn({ rounds: 3, warmUps: 0 }, [
      ['a', turn(10)],
      ['b', () => turn(5)().finally(() => (slowness *= 3))],
    ]);
    expect(measured.ratio('a', 'b', 'ms')).toEqual({ median: 2, low: 2, high: 2, rounds: 3 });
    expect(() => measured.of('a', 'miles')).toThrow('no figure miles');
    expect(() => measured.of('c', 'ms')).toThrow('no contestant c');
  });
});

it('the median of an even number of rounds lies between the middle two', () => {
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1, high: 4, rounds: 4 });
  expect(spread([3, 1, 2]).median).toBe(2);
});

it('a target is met at its bound, and on the right side of it', () => {
  const table = (value: number) =>
    targetTable(
      new Map([
        ['tools-call.sse.c16.memory/sdk.rate', spread([value])],
        ['tools-call.sse.c16.redis/sdk.cpu', spread([value])],
      ]),
    ).rows.map((row) => row.at(-1));
  expect(table(4.5)).toEqual(['no', 'yes']);
  expect(table(0.48)).toEqual(['yes', 'no']);
});

describe('counted figures', () => {
  const figures = (scripts: number, allocated: number) =>
    new Map([
      ['counts.others.scripts', spread([scripts])],
      [countName('others', 'allocated', 'v24.1.0'), spread([allocated])],
      ['handshake.redis.rate', spread([1])],
    ]);
  const allowed = { 'counts.others.scripts': 2, 'counts.others.allocated.node24': 100_000 };

  it('may be as high as is allowed, and allocations a little higher', () => {
    expect(grownCounts(figures(2, 102_900), allowed)).toEqual([]);
    expect(grownCounts(figures(1, 50_000), allowed)).toEqual([]);
    // The node also did something by itself.
    expect(grownCounts(figures(2.04, 100_000), allowed)).toEqual([]);
  });

  it('are named if they have grown, with the way to accept them', () => {
    const lines = grownCounts(figures(3, 103_100), allowed);
    expect(lines).toEqual([
      expect.stringMatching(/^counts\.others\.scripts is 3 .* 2 is allowed.* --accept$/),
      expect.stringContaining('counts.others.allocated.node24 is 103100 '),
    ]);
  });

  it('are named if nothing is allowed for a version of Node', () => {
    expect(grownCounts(figures(2, 1), { 'counts.others.scripts': 2 })).toEqual([
      expect.stringContaining('counts.others.allocated.node24 is 0 for each call, and no value'),
    ]);
  });
});

describe('the comparison with the last run', () => {
  const figure = 'tools-call.sse.c16.redis/sdk.rate';
  const run = (node: string, ...rounds: [number, number, number]) => ({
    ...{ commit: `on-${node}`, date: '2026-01-31', machine: { Node: node } },
    figures: { [figure]: rounds },
  });
  const history = [run('v24.1.0', 9, 9, 9), run('v24.2.0', 2, 1.8, 2.2), run('v20.1.0', 5, 5, 5)];
  const verdict = (...rounds: number[]) =>
    sinceLast(history, 'v24.3.0', new Map([[figure, spread(rounds)]]))?.rows;

  it('is with the last run on the same major version of Node', () => {
    const table = sinceLast(history, 'v24.3.0', new Map([[figure, spread([2])]]));
    expect(table?.title).toBe('Since on-v24.2.0, 2026-01-31');
    expect(sinceLast(history, 'v26.0.0', new Map())).toBeUndefined();
    expect(sinceLast([], 'v24.0.0', new Map())).toBeUndefined();
  });

  it('calls a figure worse or better only beyond the rounds of both runs', () => {
    const row = (now: string, word: string) => [[expect.any(String), '2.00', now, word]];
    expect(verdict(1.4, 1.5, 1.6)).toEqual(row('1.50', 'WORSE'));
    expect(verdict(2.4, 2.5, 2.6)).toEqual(row('2.50', 'better'));
    expect(verdict(1.4, 1.5, 2.1)).toEqual(row('1.50', ''));
    expect(verdict(1.9, 1.9, 1.9)).toEqual(row('1.90', ''));
  });
});

describe('arguments', () => {
  const names = ['one', 'two'];

  it('have defaults', () => {
    expect(parseOptions([], names)).toEqual({
      ...{ quick: false, only: [], rounds: 5, json: undefined, write: false, accept: false },
      ...{ node: undefined, beside: undefined, minutes: 10 },
    });
    expect(parseOptions(['--quick', '--only', 'two,one'], names)).toMatchObject({
      ...{ quick: true, only: ['two', 'one'], rounds: 1 },
    });
  });

  it.each([
    [['--only', 'three'], 'no scenario three'],
    [['--rounds', '0'], '--rounds has to be'],
    [['--rounds', 'many'], '--rounds has to be'],
    [['--write', '--quick'], '--write needs the whole run'],
    [['--minutes', '0'], '--minutes has to be'],
    [['--fast'], '--fast'],
  ])('%j is refused', (args, why) => {
    expect(() => parseOptions(args, names)).toThrow(why);
  });
});

describe('the page', () => {
  const results = {
    ...{ machine: { Node: 'v20' }, rounds: 5, figures: new Map() },
    tables: [{ title: 'A table', columns: ['', 'ms'], rows: [['a', '1']] }],
    targets: { title: 'Targets', columns: ['', 'met'], rows: [['it', 'yes']] },
  };
  const page =
    'Before.\n\n<!-- results: written by npm run bench -- --write -->\n\nOld.\n\n<!-- end of results -->\n\nAfter.\n';

  it('gets its results between the marks, again and again', () => {
    const once = withResults(page, results);
    expect(once).toMatch(/^Before\./);
    expect(once).toMatch(/After\.\n$/);
    expect(once).not.toContain('Old.');
    expect(once).toContain('### A table\n\n|  | ms |\n| --- | --: |\n| a | 1 |');
    expect(withResults(once, results)).toBe(once);
  });

  it('is not changed if it has no marks', () => {
    expect(() => withResults('No marks.', results)).toThrow('no marks');
  });
});

it('the chart is well formed, and its bars have the lengths of their values', () => {
  const svg = chart('A & B', [
    {
      ...{ title: 'Rate', unit: 'calls/s', mark: 1 },
      bars: [
        { label: 'a <1>', value: spread([1, 1.5, 2]), colour: '#111111' },
        { label: 'b', value: spread([3, 3, 3]), colour: '#222222' },
      ],
    },
  ]);
  const widths = Array.from(svg.matchAll(/width="([\d.]+)" height="16"/g), ([, width]) =>
    Number(width),
  );
  expect(widths).toHaveLength(2);
  expect((widths[1] ?? 0) / (widths[0] ?? 1)).toBeCloseTo(2, 2);
  expect(svg).toContain('a &lt;1>');
  expect(svg).toContain('A &amp; B');
  expect(svg).not.toMatch(/NaN|undefined/);
  // Each opened element is closed.
  const open = svg.match(/<(?:svg|g|text)\b/g)?.length;
  expect(svg.match(/<\/(?:svg|g|text)>/g)?.length).toBe(open);
});
