import { expect, it } from 'vitest';
import { QuietNodes } from '../../src/backplane/memory/quiet-nodes.js';

const HOUR = 3_600_000;

/** Makes so many nodes with a replica, each of which has committed once. */
function nodes(count: number): { numbers: Map<string, number>; replicas: Set<string> } {
  const names = Array.from({ length: count }, (_, at) => `n${at}`);
  return { numbers: new Map(names.map((name) => [name, 1])), replicas: new Set(names) };
}

it('forgets nodes without a commit for an hour, if there are many', () => {
  const { numbers, replicas } = nodes(70);
  const quiet = new QuietNodes(numbers, replicas);
  quiet.look('first', 0);
  quiet.look('too soon', HOUR - 1);
  expect(numbers.size).toBe(70);
  numbers.set('n1', 2);
  numbers.set('later', 1);
  quiet.look('n2', HOUR);
  expect([...numbers.keys()]).toEqual(['n1', 'n2', 'later']);
  expect([...replicas]).toEqual(['n1', 'n2']);
});

it('forgets no node if there are few', () => {
  const { numbers, replicas } = nodes(64);
  const quiet = new QuietNodes(numbers, replicas);
  for (const now of [0, HOUR, 2 * HOUR]) quiet.look('another', now);
  expect(numbers.size).toBe(64);
});
