import type { Command } from 'commander';
import type { SessionInfo } from '../../options/types.js';
import type { GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { cut, duration } from '../print/text.js';
import { wholeNumber } from '../values.js';

/** How many sessions are printed at a time, so that those of a big cluster are not all held in memory. */
const PART = 100;
/** The most columns of a client's name, which the client may make as long as it likes. */
const LONGEST_CLIENT = 120;

interface Options extends GlobalOptions {
  limit?: number;
}

export function clientOf({ clientInfo: { name, version }, unreadable }: SessionInfo): string {
  return unreadable === true ? '(encrypted)' : cut(`${name} ${version}`.trim(), LONGEST_CLIENT);
}

function columns(now: number): Column<SessionInfo>[] {
  return [
    { title: 'SESSION', of: ({ id }) => id },
    { title: 'CLIENT', of: clientOf, shrinks: true },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'PROTOCOL', of: ({ protocolVersion }) => protocolVersion },
    { title: 'AGE', of: ({ createdAt }) => duration(now - createdAt) },
    { title: 'USED', of: ({ lastSeenAt }) => `${duration(now - lastSeenAt)} ago` },
    { title: 'OWNER', of: ({ owner }) => owner },
  ];
}

export function addSessions(program: Command): void {
  program
    .command('sessions')
    .description('list the sessions')
    .option('--limit <n>', 'print at most this many sessions', wholeNumber)
    .action((_, command: Command) => {
      const { limit, ...options } = command.optsWithGlobals<Options>();
      return withObserver(options, async ({ observer, output }) => {
        const table = new Table(columns(Date.now()), output);
        let part: SessionInfo[] = [];
        let left = limit ?? Number.POSITIVE_INFINITY;
        let printed = false;
        for await (const session of observer.sessions.list()) {
          if (output.json) await output.document(session);
          else part.push(session);
          if (part.length === PART) {
            await table.print(part);
            printed = true;
            part = [];
          }
          if ((left -= 1) === 0) break;
        }
        if (!output.json && (part.length > 0 || !printed)) await table.print(part);
      });
    });
}
