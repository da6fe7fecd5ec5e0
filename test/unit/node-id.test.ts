import { expect, it } from 'vitest';
import { randomNodeId } from '../../src/protocol/node-id.js';

// With an id of digits alone, `<nodeId>.<n>` is a number for a client that reads ids as numbers.
it('randomNodeId returns ten characters, the first of which is a letter', () => {
  const ids = Array.from({ length: 1_000 }, () => randomNodeId());
  for (const id of ids) expect(id).toMatch(/^[a-z][0-9a-z]{9}$/);
  expect(new Set(ids).size).toBe(1_000);
  for (const at of [0, 1, 9]) {
    expect(new Set(ids.map((id) => id[at])).size).toBe(at === 0 ? 26 : 36);
  }
});
