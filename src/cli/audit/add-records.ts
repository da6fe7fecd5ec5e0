import type { Command } from 'commander';
import { Option } from 'commander';
import type { AuditOutcome, AuditRecord } from '../../audit/record.js';
import type { TrailQuery } from '../../audit/reading/trail.js';
import type { GlobalOptions } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { Output } from '../print/output.js';
import { Table } from '../print/text-table.js';
import { dateTime } from '../print/text.js';
import { placeInLog } from '../times.js';
import { wholeNumber } from '../values.js';
import { TRAIL, withTrail } from './from-trail.js';

interface Options extends GlobalOptions {
  session?: string;
  principal?: string;
  anonymous?: boolean;
  tool?: string;
  method?: string;
  outcome?: AuditOutcome;
  since?: string | Date;
  until?: string | Date;
  limit?: number;
}

const OUTCOMES: AuditOutcome[] = ['ok', 'tool_error', 'error', 'cancelled', 'lost'];
/** The table is printed in parts, so that it begins at once and takes little memory. */
const PART = 100;

export function addRecords(program: Command): void {
  program
    .command('records')
    .argument('<trail>', TRAIL)
    .description('list records of an audit trail, without messages; with --json, whole records')
    .option('--session <id>', 'only records of this session')
    .option('--principal <name>', 'only records of sessions of this principal')
    .addOption(
      new Option('--anonymous', 'only records of sessions without a principal').conflicts(
        'principal',
      ),
    )
    .option('--tool <name>', 'only calls of this tool, and their answers')
    .option('--method <method>', 'only messages of this method, and their answers')
    .addOption(new Option('--outcome <how>', 'only ends of requests like this').choices(OUTCOMES))
    .option(
      '--since <time>',
      'only records from this time on: 2026-11-30T13:05, or 2d (ago)',
      placeInLog,
    )
    .option('--until <time>', 'only records before this time', placeInLog)
    .option('--limit <n>', 'print at most this many records', wholeNumber)
    .action((where: string, _, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const query = queryOf(options);
      return withTrail(where, async (trail) => {
        const output = new Output({ json: options.json === true });
        await print(output, trail.records(query), options.limit ?? Infinity);
      });
    });
}

function queryOf(options: Options): TrailQuery {
  const { session, principal, anonymous, tool, method, outcome, since, until } = options;
  return {
    ...{ session, tool, method, outcome },
    principal: anonymous === true ? null : principal,
    from: timeOf('--since', since),
    until: timeOf('--until', until),
  };
}

function timeOf(option: string, value: string | Date | undefined): number | undefined {
  if (value === undefined || value instanceof Date) return value?.getTime();
  throw new CommandError(EXIT.usage, `${option} has to be a time, not the id of an event`);
}

async function print(
  output: Output,
  records: AsyncIterable<AuditRecord>,
  limit: number,
): Promise<void> {
  const table = new Table<AuditRecord>(COLUMNS, output);
  let part: AuditRecord[] = [];
  let count = 0;
  for await (const record of records) {
    if (output.json) await output.document(record);
    else part.push(record);
    count += 1;
    if (part.length === PART) {
      await table.print(part);
      part = [];
    }
    if (count >= limit) break;
  }
  if (!output.json && (part.length > 0 || count === 0)) await table.print(part);
}

const COLUMNS = [
  { title: 'TIME', of: ({ at }: AuditRecord) => dateTime(at) },
  {
    title: 'PRINCIPAL',
    of: ({ principal }: AuditRecord) => principal ?? 'anonymous',
    shrinks: true,
  },
  { title: 'SESSION', of: ({ session }: AuditRecord) => session, shrinks: true },
  { title: 'NO', of: ({ seq }: AuditRecord) => seq },
  { title: 'WHAT', of: whatOf, shrinks: true },
  { title: 'TOOL', of: ({ tool }: AuditRecord) => tool, shrinks: true },
  { title: 'OUTCOME', of: ({ outcome }: AuditRecord) => outcome },
  { title: 'MS', of: ({ durationMs }: AuditRecord) => durationMs },
];

function whatOf({ type, direction, method, reason, missing, erased }: AuditRecord): string {
  const arrow = direction === undefined ? '' : direction === 'in' ? '→ ' : '← ';
  const details = [
    ...(reason === undefined ? [] : [`(${reason})`]),
    ...(missing === undefined ? [] : [`(${missing.entries} missing)`]),
    ...(erased === true ? ['(erased)'] : []),
  ];
  return [`${arrow}${method ?? type}`, ...details].join(' ');
}
