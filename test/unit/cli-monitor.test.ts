/** How keys change what the monitor shows, and which rows of a long list it shows. */
import { expect, it } from 'vitest';
import { keysIn } from '../../src/cli/monitor/keyboard.js';
import { Navigation } from '../../src/cli/monitor/navigation.js';
import { viewOf } from '../../src/cli/monitor/cluster-view.js';
import { Output } from '../../src/cli/print/output.js';
import { NodeHistory } from '../../src/monitor/node-history.js';
import type { SessionStats, Stats } from '../../src/operator/observer.js';

const IDS = ['a', 'b', 'c', 'd'];

it('reads keys of one and of several characters, and ignores others', () => {
  expect(keysIn('jk\u001b[A\u001bOB\u001b[5~\u001b[6~x\u001b[1;5Cq')).toEqual([
    ...['down', 'up', 'up', 'down', 'pageUp', 'pageDown', 'quit'],
  ]);
  expect(keysIn('\u001b')).toEqual(['escape']);
  expect(keysIn('\u001b\u001b[B\r?\u0003')).toEqual([
    ...['escape', 'down', 'enter', 'help', 'interrupt'],
  ]);
});

it('selects a session, shows it, scrolls it, and goes back', () => {
  const navigation = new Navigation();
  const press = (...keys: Parameters<Navigation['press']>[0][]) => {
    for (const key of keys) navigation.press(key, IDS, 2);
    return navigation;
  };
  // Without a selection there is nothing to show.
  expect(press('enter')).toMatchObject({ view: 'overview', selected: undefined });
  expect(press('down').selected).toBe('a');
  expect(press('down', 'pageDown', 'down').selected).toBe('d');
  expect(press('pageUp').selected).toBe('b');
  expect(press('home', 'up').selected).toBe('a');
  expect(press('end', 'up').selected).toBe('c');
  expect(press('enter', 'down', 'down', 'up')).toMatchObject({ view: 'session', scroll: 1 });
  expect(press('help')).toMatchObject({ showsHelp: true });
  // Whatever key closes the help does nothing else.
  expect(press('escape')).toMatchObject({ showsHelp: false, view: 'session', selected: 'c' });
  expect(press('escape')).toMatchObject({ view: 'overview', selected: 'c' });
  expect(press('escape')).toMatchObject({ selected: undefined });
});

it('keeps the session selected when the order changes, and takes the first one if it is gone', () => {
  const navigation = new Navigation();
  navigation.press('end', IDS, 2);
  navigation.press('up', ['d', 'c', 'x'], 2);
  expect(navigation.selected).toBe('d');
  navigation.press('down', ['x', 'y'], 2);
  expect(navigation.selected).toBe('x');
});

it('always shows the row of the selected session', () => {
  const stdout = Object.create(process.stdout, {
    ...{ isTTY: { value: true }, columns: { value: 80 }, rows: { value: 12 } },
  }) as NodeJS.WriteStream;
  const output = new Output({ json: false, stdout, env: { NO_COLOR: '1' } });
  const session = (id: string) => ({
    info: { id, clientInfo: { name: 'x', version: '1' }, lastSeenAt: 0 },
    ...{ streams: 0, followed: 0, requests: 0, replicas: [], bytes: 0 },
  });
  const sessions = Array.from({ length: 30 }, (_, at) => session(`session-${at}`));
  const stats: Stats = {
    ...{ at: 0, nodes: [], nodesComplete: true, listed: 30, sampled: false, traffic: undefined },
    ...{ sessions: sessions as unknown as SessionStats[] },
    totals: { streams: 0, followed: 0, requests: 0 },
  };
  for (const { info } of sessions) {
    const lines = viewOf(stats, { output, place: 'x', height: 12, nodes: [], selected: info.id });
    expect(lines.filter((line) => line.startsWith('>'))).toHaveLength(1);
    expect(lines.find((line) => line.startsWith('>'))).toContain(`${info.id} `);
    expect(lines.length).toBeLessThanOrEqual(12);
  }
});

it('says of a node that it is dead, in the list of nodes and beside the sessions that it had', () => {
  const output = new Output({ json: false, env: { NO_COLOR: '1' } });
  const node = (id: string) => ({ id, leaseLeftMs: 900, sessions: 1, streams: 0, requests: 0 });
  const sessions = [
    {
      info: { id: 's', clientInfo: { name: 'x', version: '1' }, lastSeenAt: 0 },
      ...{ streams: 0, followed: 0, requests: 0, replicas: ['bbb', 'aaa'], bytes: 0 },
    },
  ] as unknown as SessionStats[];
  const statsAt = (at: number, ...ids: string[]): Stats => ({
    ...{ at, nodesComplete: true, listed: 1, sampled: false, traffic: undefined, sessions },
    nodes: ids.map(node) as unknown as Stats['nodes'],
    totals: { streams: 0, followed: 0, requests: 0 },
  });
  const history = new NodeHistory();
  history.take(statsAt(0, 'aaa', 'bbb'), 0);
  const stats = statsAt(1000, 'aaa');
  const nodes = history.take(stats, 1000);
  const lines = viewOf(statsAt(4000, 'aaa'), { output, place: 'x', nodes });
  expect(lines.find((line) => line.startsWith('bbb'))).toMatch(/^bbb +dead 3/);
  expect(lines.find((line) => line.startsWith('s '))).toContain('bbb (dead) aaa');
});
