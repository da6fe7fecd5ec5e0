import { expect, it } from 'vitest';
import { OpenedStreams } from '../../src/stream/opened-streams.js';
import { streamShownOnStandalone } from '../../src/stream/shown-on.js';

it('knows the streams that run on this node, until another node takes one over', () => {
  const opened = new OpenedStreams('node1');
  const [first, second] = [opened.nextName(), opened.nextName()];
  opened.setRunHere(first, true);
  expect([first, second].map((name) => opened.isRunHere(name))).toEqual([true, false]);
  opened.setRunHere(first, false);
  expect(opened.isRunHere(first)).toBe(false);
});

it('knows a stream whose messages are shown on the standalone stream', () => {
  const opened = new OpenedStreams('node1');
  const stream = streamShownOnStandalone(opened.nextName());
  opened.setRunHere(stream, true);
  expect(opened.isRunHere(stream)).toBe(true);
});

it('does not accept a name of another node, of the future or of no node as its own', () => {
  const opened = new OpenedStreams('node1');
  const name = opened.nextName();
  opened.setRunHere(name, true);
  for (const other of [
    'node21',
    'node1',
    'node1zzz',
    'node1-1',
    '',
    'g',
    `node1${'z'.repeat(400)}`,
  ]) {
    opened.setRunHere(other, true);
    expect(opened.isRunHere(other)).toBe(false);
  }
});

it('forgets the oldest names: a name that reuses the byte of an older one begins anew', () => {
  const opened = new OpenedStreams('node1');
  const oldest = opened.nextName();
  opened.setRunHere(oldest, true);
  const later = Array.from({ length: 65_536 }, () => opened.nextName());
  expect(opened.isRunHere(oldest)).toBe(false);
  expect(opened.isRunHere(later.at(-1) ?? '')).toBe(false);
});
