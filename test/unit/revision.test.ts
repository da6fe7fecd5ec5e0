import { describe, expect, it } from 'vitest';
import { follows, isLower, nextRevision, revisionBefore } from '../../src/backplane/revision.js';

describe('a revision', () => {
  const second = nextRevision('1', 'a', 7);

  it('follows the revision that it was made on, and no other', () => {
    const third = nextRevision(second, 'b', 3);
    expect([second, third]).toEqual(['2.a:7.', '3.b:3.a:7']);
    expect(follows('1', second)).toBe(true);
    expect(follows(second, third)).toBe(true);
    expect(follows('1', third)).toBe(false);
    expect(follows(third, second)).toBe(false);
    expect(follows(undefined, second)).toBe(false);
  });

  it('does not follow a lost revision with the same number as the one that it was made on', () => {
    const lost = nextRevision('1', 'a', 7);
    const kept = nextRevision('1', 'b', 2);
    expect(kept).not.toBe(lost);
    expect(follows(lost, nextRevision(kept, 'a', 8))).toBe(false);
  });

  it('names the revision that it was made on', () => {
    const third = nextRevision(second, 'b', 3);
    expect(follows(revisionBefore(third), third)).toBe(true);
    expect(isLower(second, third)).toBe(true);
  });

  it('may follow a plain number, as earlier releases wrote it', () => {
    expect(nextRevision('4', 'a', 1)).toBe('5.a:1.');
    expect(follows('4', '5.a:1.')).toBe(true);
  });
});
