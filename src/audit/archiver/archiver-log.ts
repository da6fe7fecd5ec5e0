/** What an archiver writes to the log of the process: what does not work, not too often, and that it works again. */
import type { Logger } from '../../options/public-types.js';
import { LogLimit } from '../../protocol/log-limit.js';
import type { Clock } from '../../protocol/timing/clock.js';

const FAILED = {
  sink: 'the sink of the audit trail does not take records, which wait in the backplane',
  outboxes: 'the archiver of the audit trail cannot go on',
} as const;

const WORKS = {
  sink: 'the sink of the audit trail takes records again',
  outboxes: 'the archiver of the audit trail goes on',
} as const;

export class ArchiverLog {
  private readonly limit: LogLimit;
  private readonly failing = new Set<keyof typeof FAILED>();

  constructor(
    private readonly logger: Logger,
    clock: Pick<Clock, 'elapsed'>,
  ) {
    this.limit = new LogLimit(clock);
  }

  failed(what: keyof typeof FAILED, error: unknown): void {
    this.failing.add(what);
    this.warn(what, `${FAILED[what]}: ${error instanceof Error ? error.message : String(error)}`);
  }

  works(what: keyof typeof WORKS): void {
    if (this.failing.delete(what)) this.logger.info?.(`mcp-anynode: ${WORKS[what]}`);
  }

  /** `kind` is one of a few words, and never a text of a client. */
  warn(kind: string, text: string): void {
    this.limit.pass(kind, (more) => this.logger.warn(`mcp-anynode: ${text}${more}`));
  }

  /** Entries are missing, because the outbox was full. */
  gap(entries: number): void {
    this.logger.error(
      `mcp-anynode: ${entries} entries are missing in the audit trail, because its outbox was full`,
    );
  }
}
