import { AnynodeError } from '../../protocol/errors.js';

/** Thrown if a stored session is not in the form that this library writes. */
export class MalformedSession extends Error {
  override readonly name = 'MalformedSession';
}

/**
 * A script replies MALFORMED for a stored value that this library does not write. Redis replies `WRONGTYPE` if a key of the
 * session has another type.
 */
const MALFORMED = /\bMALFORMED\b|\bWRONGTYPE\b/;

/** True if the session has to end because its stored state is malformed. */
export function isMalformed(error: unknown): boolean {
  return error instanceof MalformedSession || says(error, MALFORMED);
}

/** The errors of Lua, or of a command in a script, for a value that it cannot work with. */
const FAULT =
  /attempt to \w+|bad argument #|must be strings or integers|not an integer|Invalid stream ID|too many results|stack overflow/;

/**
 * True if a script failed by a fault of its own, or by arguments of a node of another release. The session is not at fault
 * and stays. The same step would fail again.
 */
export function isScriptFault(error: unknown): boolean {
  return !isMalformed(error) && says(error, FAULT);
}

function says(error: unknown, pattern: RegExp): boolean {
  const reply = error instanceof AnynodeError ? error.cause : error;
  return reply instanceof Error && reply.name === 'ReplyError' && pattern.test(reply.message);
}
