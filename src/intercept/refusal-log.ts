/** Logs that a server behind this library does not accept sessions, and what to check. */
import type { Clock } from '../protocol/timing/clock.js';
import { LogLimit } from '../protocol/log-limit.js';
import type { Logger } from '../options/public-types.js';
import { failureOf, mendOf } from './failure.js';

/** Statuses that are expected: for clients without authorization, or for too many clients. */
const EXPECTED = new Set([401, 403, 429]);

export class RefusalLog {
  private readonly limit: LogLimit;

  constructor(
    private readonly parts: {
      /** The address of the server, without credentials and query. It is `undefined` if the server is in this process. */
      place: string | undefined;
      clock: Clock;
      logger: Logger;
    },
  ) {
    this.limit = new LogLimit(parts.clock);
  }

  /** Logs the failure of `initialize`. Connections that fail or break are not logged here. */
  refused(why: unknown): void {
    const failure = failureOf(why);
    const { reason, refusal, detail } = failure;
    if (reason === 'server_unreachable' || reason === 'server_lost') return;
    const { place, logger } = this.parts;
    // The handler's own error was logged when it threw.
    if (place === undefined && refusal !== undefined && refusal.status >= 500) return;
    const what = refusal === undefined ? detail : `status ${refusal.status}`;
    const text = `mcp-anynode: ${place ?? '`handler`'} did not take \`initialize\`: ${what}`;
    const mend = refusal?.location === undefined ? mendOf(failure) : redirection(refusal.location);
    this.limit.pass(`${reason} ${refusal?.status ?? ''}`, (more) => {
      if (refusal !== undefined && EXPECTED.has(refusal.status)) logger.info?.(`${text}${more}`);
      else logger.warn(`${mend === undefined ? text : `${text}; ${mend}`}${more}`);
    });
  }

  /** Logs that a GET stream of the server was ended because of what the server sent. */
  streamEnded(why: unknown): void {
    this.limit.pass('stream', (more) => {
      this.parts.logger.warn(
        `mcp-anynode: a GET stream of the server is ended: ${String(why)}${more}`,
      );
    });
  }

  /** Logs that a private session was made in place of one that the server had lost. */
  madeAgain(): void {
    this.limit.pass('made again', (more) => {
      const text = 'the server had lost a session, which was made again';
      this.parts.logger.warn(`mcp-anynode: ${text}${more}`);
    });
  }
}

/**
 * Makes the text about a redirect. Redirects are not followed, so that messages and credentials of clients go only to the
 * given address.
 */
function redirection(location: string): string {
  return `it redirects to ${location}, which is not followed: give that as \`upstream\``;
}
