import { AnynodeError } from '../protocol/errors.js';

/** The exit codes of the command. `docs/cli.md` documents them. */
export const EXIT = {
  ok: 0,
  notFound: 1,
  usage: 2,
  unavailable: 3,
  failed: 4,
  interrupted: 130,
  terminated: 143,
} as const;

/** Ends the command with a message and a code of {@link EXIT}. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    readonly exitCode: number,
    message: string,
    options?: ErrorOptions,
    /** Further lines of the message. */
    readonly more: string[] = [],
  ) {
    super(message, options);
  }
}

export class NoSuchSession extends CommandError {}

export function noSuchSession(id: string): CommandError {
  return new NoSuchSession(EXIT.notFound, `there is no session ${id}`);
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  return isUnavailable(error) ? EXIT.unavailable : EXIT.failed;
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'backplane_unavailable';
}

/** Options of the library whose names on the command line are others. */
const RENAMED: Record<string, string> = {
  commandTimeoutMs: '--timeout',
  upstreamTimeoutMs: '--upstream-timeout',
  idleMs: '--idle',
  sink: '--to',
  'audit.sink': '--audit',
};
const SAME = new Set([
  ...['redis', 'prefix', 'upstream', 'upstreamCheck', 'allowedHosts', 'allowedOrigins', 'affinity'],
  ...['allowPlaintext', 'decryptOnly', 'after', 'until', 'limit', 'stream', 'method', 'direction'],
  'sort',
]);

/** Replaces the names of options in a message of the library by those of the command line: `allowedHosts` by --allowed-hosts. */
function asOptions(message: string): string {
  return message.replace(/`([\w.]+)`/g, (quoted, name: string) => {
    return SAME.has(name) ? asOption(name) : (RENAMED[name] ?? quoted);
  });
}

/** Returns an option as it is written on the command line. */
export function asOption(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Runs `make`. A `TypeError` of the library is a wrong value of an option, so it becomes an error of usage. */
export function orUsage<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof TypeError) throw new CommandError(EXIT.usage, asOptions(error.message));
    throw error;
  }
}
