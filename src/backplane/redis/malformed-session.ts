import { AnynodeError } from '../../protocol/errors.js';

/** What is stored of a session is not what this library writes: somebody else has written it. */
export class MalformedSession extends Error {
  override readonly name = 'MalformedSession';
}

/**
 * A script says MALFORMED where it has found out that a stored value is none that this library writes. WRONGTYPE is for a
 * key of the session that has another type.
 */
const MALFORMED = /\bMALFORMED\b|\bWRONGTYPE\b/;

/** Whether the session has to end, since what is stored of it is malformed. */
export function isMalformed(error: unknown): boolean {
  return error instanceof MalformedSession || says(error, MALFORMED);
}

/** What Lua, or a command within a script, says of a value that it cannot work with. */
const FAULT =
  /attempt to \w+|bad argument #|must be strings or integers|not an integer|Invalid stream ID|too many results|stack overflow/;

/**
 * Whether a script has failed by a fault of its own, or by arguments that a node of another release sends it. That says
 * nothing of the session, which stays; and the same step would fail again.
 */
export function isScriptFault(error: unknown): boolean {
  return !isMalformed(error) && says(error, FAULT);
}

function says(error: unknown, pattern: RegExp): boolean {
  const reply = error instanceof AnynodeError ? error.cause : error;
  return reply instanceof Error && reply.name === 'ReplyError' && pattern.test(reply.message);
}
