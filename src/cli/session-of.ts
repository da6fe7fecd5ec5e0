import type { Context } from './cli-context.js';
import { CommandError, EXIT, noSuchSession } from './exit.js';

/** A shorter text is not looked up as the beginning of an id, so that a slip of the finger names no session. */
const LEAST_CHARACTERS = 4;
/** How many ids are listed if a text is the beginning of several. */
const LISTED = 10;

/**
 * Returns the id of the session that the user means: the text, or the one id that begins with it. Throws if there is no
 * such session, and lists the ids if there are several.
 */
export async function sessionIdOf(context: Context, text: string): Promise<string> {
  const { observer } = context;
  if ((await observer.sessions.get(text)) !== undefined) return text;
  const idPrefix = text.length < LEAST_CHARACTERS ? undefined : text;
  const { sessions, listed } = await observer.findSessions({
    ...{ idPrefix, limit: idPrefix === undefined ? 1 : LISTED + 1 },
  });
  const ids = idPrefix === undefined ? [] : sessions.map(({ info }) => info.id);
  const [only] = ids;
  if (only === undefined) {
    if (listed === 0) await requireNodes(context);
    const hint = `the beginning of an id needs at least ${LEAST_CHARACTERS} characters`;
    throw noSuchSession(idPrefix === undefined ? `${text} (${hint})` : text);
  }
  if (ids.length === 1) return only;
  const shown = ids.slice(0, LISTED).map((id) => `  ${id}`);
  const more = ids.length > LISTED ? ['  …'] : [];
  throw new CommandError(EXIT.notFound, `several sessions begin with ${text}:`, undefined, [
    ...shown,
    ...more,
  ]);
}

/** Throws if no node is alive under the prefix. The prefix is then most likely wrong. */
export async function requireNodes({ observer, prefix }: Context): Promise<void> {
  if ((await observer.nodes()).length === 0) throw noNodes(prefix);
}

export function noNodes(prefix: string): CommandError {
  return new CommandError(EXIT.notFound, `no nodes under prefix ${prefix}`);
}
