/** Hand-made records of a chaos run, in which the verdict has to find the faults. */
import { describe, expect, it } from 'vitest';
import { Ledger, type CallEnd } from '../chaos/ledger.js';
import type { Recorded } from '../chaos/records.js';
import { table } from '../chaos/table.js';
import { judge, violated, type Verdict, type Violations } from '../chaos/verdict.js';

interface Book {
  ledger: Ledger;
  recorded: Recorded;
}

function book(): Book {
  return {
    ledger: new Ledger('c1', Date.now()),
    recorded: { executed: new Map(), replica: new Map(), accepted: new Set() },
  };
}

function call({ ledger, recorded }: Book, end: CallEnd | undefined, ran = 1, replica = 'r1') {
  const begun = ledger.begin('slow');
  if (ran > 0) recorded.executed.set(begun.key, ran);
  recorded.replica.set(begun.key, replica);
  if (end !== undefined) ledger.end(begun, end);
  return begun;
}

function sent({ ledger }: Book, ...outcomes: ('accepted' | 'unknown')[]): void {
  outcomes.forEach((outcome, at) => ledger.sent.push({ n: at + 1, at: 0, outcome }));
}

function arrived({ ledger }: Book, ...names: string[]): void {
  names.forEach((name, at) => ledger.arrivals.push({ name, at }));
}

function verdictOn({ ledger, recorded }: Book): Verdict {
  return judge([ledger], recorded, { owned: true });
}

/** The number of violations of each kind that occurs. */
function found(verdict: Verdict): Partial<Record<keyof Violations, number>> {
  const counts = Object.entries(verdict.violations).map(([name, lines]: [string, string[]]) => [
    name,
    lines.length,
  ]);
  return Object.fromEntries(counts.filter(([, count]) => count !== 0)) as never;
}

describe('a verdict', () => {
  it('accepts a run in which calls ended in every allowed way', () => {
    const books = book();
    const fine = call(books, 'result');
    fine.progress.push(1, 2, 3);
    for (const end of ['node_lost', 'node_closed', 'cancelled', 'no response'] as const) {
      call(books, end);
    }
    call(books, 'refused', 0);
    sent(books, 'accepted', 'unknown', 'unknown', 'accepted');
    books.recorded.accepted.add(`${fine.key} 1`);
    arrived(books, '1', `${fine.key} 1`, '4', '2');
    const verdict = verdictOn(books);
    expect(found(verdict)).toEqual({});
    expect(violated(verdict)).toBe(false);
    expect(verdict.notifications).toMatchObject({ accepted: 2, unknown: 2, ofCalls: 1, shown: 4 });
  });

  it.each<[keyof Violations, (books: Book) => void]>([
    ['unanswered', (books) => call(books, undefined)],
    ['unanswered', (books) => call(books, 'unanswered')],
    ['unanswered', (books) => call(books, 'session lost')],
    ['lost', (books) => sent(books, 'accepted')],
    ['lost', ({ recorded }) => recorded.accepted.add('c1:7 1')],
    ['lost', (books) => call(books, 'node_lost').progress.push(1, 3)],
    ['duplicated', (books) => arrived(books, '1', '1')],
    ['duplicated', ({ ledger }) => ledger.repeated.push('1')],
    ['duplicated', (books) => call(books, 'result').repeated.push('an answer')],
    [
      'disordered',
      (books) => {
        sent(books, 'accepted', 'accepted');
        arrived(books, '2', '1');
      },
    ],
    ['disordered', (books) => arrived(books, 'c1:1 2', 'c1:1 1')],
    ['executedTwice', (books) => call(books, 'node_lost', 2)],
    ['executedWrongly', (books) => call(books, 'refused', 1)],
    ['executedWrongly', (books) => call(books, 'result', 0)],
    [
      'ofFormerOwners',
      (books) => ['r1', 'r2', 'r1'].map((replica) => call(books, 'result', 1, replica)),
    ],
    ['strange', ({ ledger }) => ledger.say('GET: 418')],
    ['strange', (books) => call(books, 'unexpected')],
  ])('finds what is %s', (kind, misdeed) => {
    const books = book();
    misdeed(books);
    const verdict = verdictOn(books);
    expect(found(verdict)).toEqual({ [kind]: 1 });
    expect(violated(verdict)).toBe(true);
    const lines = table(verdict, []).split('\n');
    expect(lines.filter((line) => /^\S.* 1$/.test(line)).length).toBeGreaterThan(0);
  });
});
