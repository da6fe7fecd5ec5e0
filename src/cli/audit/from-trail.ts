/** Runs commands on an audit trail, in place of the Redis of a cluster. */
import type { Command } from 'commander';
import type { ArchivedOptions, ArchivedSessions } from '../../audit/reading/archived-sessions.js';
import { archivedSessions } from '../../audit/reading/archived-sessions.js';
import { openTrail } from '../../audit/reading/open-trail.js';
import type { Trail } from '../../audit/reading/trail.js';
import { CommandError, EXIT, noSuchSession, orUsage } from '../exit.js';
import type { KeyChoice } from '../keys.js';
import { codecOf } from '../keys.js';
import { dateTime } from '../print/text.js';
import { refuseWithout } from '../values.js';

/** The argument of commands that read a trail, for the help. */
export const TRAIL = 'the trail: a directory, or a URL such as postgres://user@host/database';

/** The option of commands that read either a cluster or a trail. */
export const FROM: [flags: string, help: string] = [
  '--from <trail>',
  'read a session of an audit trail instead: a directory, or a URL such as postgres://user@host/database',
];

/** Opens a trail, runs the command with it, and closes it even if the command fails. */
export async function withTrail(
  where: string,
  command: (trail: Trail) => Promise<void>,
): Promise<void> {
  const trail = orUsage(() => openTrail(where));
  try {
    await command(trail);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.failed, reason.replace(/^mcp-anynode: /, ''), { cause: error });
  } finally {
    await trail.close();
  }
}

/** The option that goes with {@link FROM}. */
export const CHAIN: [flags: string, help: string] = [
  '--chain <id>',
  'with --from: which session, if several had the same id one after another (default: the latest)',
];

/** How many chains of a session are listed. */
const LISTED = 10;

/** What {@link CHAIN} and the keys say. */
export interface ArchivedChoice extends KeyChoice {
  chain?: string;
}

/** Throws if `--chain` is given without `--from`. */
export function checkChain(command: Command): void {
  refuseWithout('from', ['chain'], command);
}

/**
 * Opens a trail for a command that shows one session of it. `note` is told if there are several sessions of the id. The command
 * gets the chain of the session, so that it need not be looked for again.
 */
export function withArchivedSession(
  where: string,
  id: string,
  options: ArchivedChoice,
  note: (text: string) => void,
  command: (sessions: ArchivedSessions, archived: ArchivedOptions) => Promise<void>,
): Promise<void> {
  const codec = codecOf(options);
  return withTrail(where, async (trail) => {
    const sessions = archivedSessions(trail, { codec });
    const chains = await sessions.chains(id);
    if (chains.length === 0) throw noSuchSession(`${id} in this trail (it needs the whole id)`);
    const chain = options.chain ?? chains.at(-1);
    if (chain === undefined || !chains.includes(chain)) {
      const message = `the session ${id} has no chain ${chain}; it has:`;
      throw new CommandError(EXIT.notFound, message, {}, listOfChains(chains));
    }
    if (chains.length > 1 && options.chain === undefined) {
      note(`${chains.length} sessions had this id: this is the latest one. --chain shows another:`);
      for (const line of listOfChains(chains)) note(line);
    }
    await command(sessions, { chain });
  });
}

/** Returns the latest chains with the times at which they began. */
function listOfChains(chains: readonly string[]): string[] {
  const lines = chains
    .slice(-LISTED)
    .map((chain) => `  ${chain} of ${dateTime(Number(chain.split('-')[0]))}`);
  return chains.length > LISTED ? ['  …', ...lines] : lines;
}
