import type { Command } from 'commander';
import { Option } from 'commander';
import type { SessionQuery, SessionSummary } from '../../operator/observer.js';
import type { SessionInfo } from '../../options/public-types.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { sessionDocument } from '../print/iso-times.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { counted, cut, duration } from '../print/text.js';
import { requireNodes } from '../session-of.js';
import { duration as parseDuration } from '../times.js';
import { wholeNumber } from '../values.js';

/** How many sessions are printed at a time, so that those of a big cluster are not all held in memory. */
const PART = 100;
/** A page of a sorted list costs a look at all sessions, so it is as long as it may be. */
const SORTED_PART = 1000;
/** How many sessions are printed by default if they are sorted. */
const SORTED_LIMIT = 100;
/** The most columns of a client's name, which the client may make as long as it likes. */
const LONGEST_CLIENT = 120;
const LONGEST_PRINCIPAL = 60;

const SORT_KEYS = ['id', 'client', 'principal', 'protocol', 'created', 'used', 'errors'];

type Options = GlobalOptions &
  Pick<
    SessionQuery,
    'client' | 'principal' | 'node' | 'protocol' | 'sort' | 'reverse' | 'limit'
  > & {
    idle?: number;
    errors?: boolean;
  };

export function clientOf({ clientInfo: { name, version }, unreadable }: SessionInfo): string {
  return unreadable === true ? '(encrypted)' : cut(`${name} ${version}`.trim(), LONGEST_CLIENT);
}

export function principalOf({ principal }: SessionInfo): string | undefined {
  return principal && cut(principal, LONGEST_PRINCIPAL);
}

function columns(now: number): Column<SessionSummary>[] {
  return [
    { title: 'SESSION', of: ({ info }) => info.id },
    { title: 'CLIENT', of: ({ info }) => clientOf(info), shrinks: true },
    { title: 'PRINCIPAL', of: ({ info }) => principalOf(info), shrinks: true },
    { title: 'STATE', of: ({ info }) => info.state },
    { title: 'PROTOCOL', of: ({ info }) => info.protocolVersion },
    { title: 'AGE', of: ({ info }) => duration(now - info.createdAt) },
    { title: 'USED', of: ({ info }) => `${duration(now - info.lastSeenAt)} ago` },
    { title: 'RUNNING', of: ({ requests }) => requests },
    { title: 'ERRORS', of: ({ info }) => info.errors },
    { title: 'OWNER', of: ({ info }) => info.owner },
  ];
}

export function addSessions(program: Command): void {
  program
    .command('sessions')
    .description('list sessions; the options select and sort them')
    .option('--client <text>', 'only of clients whose name and version contain this text')
    .option('--principal <text>', 'only of principals that contain this text')
    .option('--node <id>', 'only on the node whose id begins with this')
    .option('--protocol <version>', 'only of the protocol version that begins with this')
    .option(
      '--idle <duration>',
      'only those that were not used for so long: 90s, 10m, 2h',
      parseDuration,
    )
    .option('--errors', 'only those of which a request has ended with an error')
    .addOption(
      new Option(
        '--sort <key>',
        'sort: texts ascending, latest times first, most errors first',
      ).choices(SORT_KEYS),
    )
    .option('--reverse', 'sort the other way round')
    .option(
      '--limit <n>',
      `print at most this many sessions (default: all, or ${SORTED_LIMIT} if they are sorted)`,
      wholeNumber,
    )
    .action((_, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      return withObserver(options, (context) => run(context, options));
    });
}

async function run(context: Context, options: Options): Promise<void> {
  const { observer, output, note } = context;
  const { client, principal, node, protocol, idle, errors, sort, reverse } = options;
  const isSorted = (sort !== undefined && sort !== 'id') || reverse === true;
  const query: SessionQuery = {
    ...{ client, principal, node, protocol, idleMs: idle, hasErrors: errors, sort, reverse },
  };
  const isSelective = [client, principal, node, protocol, idle, errors].some(
    (condition) => condition !== undefined,
  );
  const limit = options.limit ?? (isSorted ? SORTED_LIMIT : Infinity);
  const table = new Table(columns(Date.now()), output);
  let left = limit;
  let after: string | undefined;
  do {
    const part = Math.min(left, isSorted ? SORTED_PART : PART);
    const page = await observer.findSessions({ ...query, limit: part, after });
    if (after === undefined && page.listed === 0) await requireNodes(context);
    if (output.json) for (const each of page.sessions) await output.document(sessionDocument(each));
    else if (page.sessions.length > 0 || after === undefined) await table.print(page.sessions);
    if (after === undefined && page.next === undefined && page.sessions.length === 0) {
      note(
        isSelective ? `none of ${counted(page.listed, 'session')} matches` : 'there is no session',
      );
    }
    left -= page.sessions.length;
    after = page.next;
    if (after !== undefined && left === 0 && options.limit === undefined) {
      note(`${limit} of ${counted(page.matched ?? page.listed, 'session')}; --limit prints more`);
    }
  } while (after !== undefined && left > 0);
}
