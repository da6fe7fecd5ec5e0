/** Runs commands on an audit trail, in place of the Redis of a cluster. */
import type { ArchivedSessions } from '../../audit/reading/archived-sessions.js';
import { archivedSessions } from '../../audit/reading/archived-sessions.js';
import { openTrail } from '../../audit/reading/open-trail.js';
import type { Trail } from '../../audit/reading/trail.js';
import { CommandError, EXIT, noSuchSession, orUsage } from '../exit.js';
import type { KeyChoice } from '../keys.js';
import { codecOf } from '../keys.js';

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

/** Opens a trail for a command that shows one session of it. `note` is told if there are several sessions of the id. */
export function withArchivedSession(
  where: string,
  id: string,
  options: KeyChoice,
  note: (text: string) => void,
  command: (sessions: ArchivedSessions) => Promise<void>,
): Promise<void> {
  const codec = codecOf(options);
  return withTrail(where, async (trail) => {
    const sessions = archivedSessions(trail, { codec });
    const chains = await sessions.chains(id);
    if (chains.length === 0) throw noSuchSession(`${id} in this trail (it needs the whole id)`);
    if (chains.length > 1) note(`${chains.length} sessions had this id: this is the latest one`);
    await command(sessions);
  });
}
