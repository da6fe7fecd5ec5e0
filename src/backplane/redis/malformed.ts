import { AnynodeError } from '../../errors.js';

/** What is stored of a session is not what this library writes: somebody else has written it. */
export class MalformedSession extends Error {
  override readonly name = 'MalformedSession';
}

/**
 * What Redis says where a key has another type, or where a script comes upon a value that it cannot work with. Scripts say
 * MALFORMED by themselves; the others are from Lua and from commands within.
 */
const REPLIES =
  /WRONGTYPE|MALFORMED|attempt to \w+|bad argument #|must be strings or integers|value is not an integer/;

export function isMalformed(error: unknown): boolean {
  if (error instanceof MalformedSession) return true;
  const reply = error instanceof AnynodeError ? error.cause : error;
  return reply instanceof Error && reply.name === 'ReplyError' && REPLIES.test(reply.message);
}
