import type { TrailVerdict, TrailViolations } from './trail-verdict.js';
import type { Spread, Verdict, Violations } from './verdict.js';

const TEXTS: Record<keyof Violations, string> = {
  unanswered: 'calls that ended with neither result nor error',
  lost: 'notifications lost',
  duplicated: 'duplicates shown to a client with its cursor',
  disordered: 'notifications out of order',
  executedTwice: 'calls executed twice',
  executedWrongly: 'calls executed though refused, or answered though not executed',
  ofFormerOwners: 'answers of former owners',
  strange: 'answers that make no sense',
};

/** How many lines of the ledger are shown for each kind of violation. The others are only counted. */
const MOST_LINES = 10;

/** Returns the verdict as text: first the counts that have to be 0, then the other figures. */
export function table(verdict: Verdict, more: readonly (readonly [string, string | number])[]) {
  const { violations, ends, notifications, errors } = verdict;
  const names = Object.keys(TEXTS) as (keyof Violations)[];
  const rows: (readonly [string, string | number])[] = [
    ...names.map((name) => [TEXTS[name], violations[name].length] as const),
    ['', ''],
    ['calls', verdict.calls],
    ...[...ends].sort(([, a], [, b]) => b - a).map(([end, count]) => [`  ${end}`, count] as const),
    ['  streams resumed', verdict.resumedCalls],
    ['  ms from call to end', spread(verdict.callTimes)],
    ['503 for other requests', verdict.refused],
    ['notifications accepted, from outside', notifications.accepted],
    ['notifications accepted, of calls', notifications.ofCalls],
    ['notifications whose sender was not told', notifications.unknown],
    ['notifications shown', notifications.shown],
    ['  streams resumed', verdict.resumedStreams],
    ['  ms between two from outside', spread(verdict.gaps)],
    ...more,
  ];
  const width = Math.max(...rows.map(([text]) => text.length));
  const lines = rows.map(([text, value]) => `${text.padEnd(width)}  ${value}`.trimEnd());
  for (const name of names) {
    const found = violations[name];
    if (found.length === 0) continue;
    lines.push('', `${TEXTS[name]}: ${found.length}`);
    lines.push(...found.slice(0, MOST_LINES).map((line) => `  ${line}`));
  }
  const kinds = new Map<string, number>();
  for (const error of errors) kinds.set(error, (kinds.get(error) ?? 0) + 1);
  if (kinds.size > 0) lines.push('', 'other errors:');
  lines.push(...[...kinds].map(([text, count]) => `  ${count} × ${text}`));
  return lines.join('\n');
}

function spread({ p50, p99, max }: Spread): string {
  return `p50 ${p50}, p99 ${p99}, max ${max}`;
}

const TRAIL_TEXTS: Record<keyof TrailViolations, string> = {
  missing: 'acknowledged, and not in the audit trail',
  twice: 'twice in the audit trail',
  unverified: 'records of the audit trail missing or changed',
};

/** Returns the verdict on an audit trail as text. */
export function trailTable({ violations, records, refused }: TrailVerdict): string {
  const names = Object.keys(TRAIL_TEXTS) as (keyof TrailViolations)[];
  const width = Math.max(...names.map((name) => TRAIL_TEXTS[name].length));
  const lines = [
    '',
    ...names.map((name) => `${TRAIL_TEXTS[name].padEnd(width)}  ${violations[name].length}`),
  ];
  lines.push(`${'records in the audit trail'.padEnd(width)}  ${records}`);
  lines.push(`${'calls in it that got 503'.padEnd(width)}  ${refused}`);
  for (const name of names) {
    for (const line of violations[name].slice(0, MOST_LINES)) lines.push(`  ${name}: ${line}`);
  }
  return lines.join('\n');
}
