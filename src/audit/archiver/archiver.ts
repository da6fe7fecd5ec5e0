import type { SessionRecords } from '../../backplane/backplane.js';
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import type { AuditOutboxes } from '../../backplane/roles/audit-outboxes.js';
import type { Logger, Redact } from '../../options/public-types.js';
import { AnynodeError } from '../../protocol/errors.js';
import { pauseAfter } from '../../protocol/timing/backoff.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { jittered } from '../../protocol/timing/clock.js';
import { atMost } from '../../stream/drain.js';
import type { AuditSink } from '../record.js';
import { ArchiveLoop } from './archive-loop.js';
import { ArchiverLease } from './archiver-lease.js';
import { ArchiverLog } from './archiver-log.js';
import { Sleep } from './sleep.js';

export interface ArchiverOptions {
  outboxes: AuditOutboxes;
  sessions: Pick<SessionRecords, 'load'>;
  sink: AuditSink;
  /** New at each start. */
  archiver: string;
  leaseMs: number;
  clock: Clock;
  logger: Logger;
  redact?: Redact | undefined;
  /** As in `KeepOptions`. */
  sealWith?: PayloadCodec | undefined;
}

const PAUSES = { firstMs: 500, longestMs: 5_000 };

/** Delivers the outboxes of a backplane to a sink, for as long as it holds the archiver's lease. */
export class Archiver {
  private readonly lease: ArchiverLease;
  private readonly sleep: Sleep;
  private readonly log: ArchiverLog;
  private running: Promise<void> | undefined;
  private isRunning = false;
  private isClosing = false;
  private closed: Promise<void> | undefined;

  constructor(private readonly options: ArchiverOptions) {
    const { logger, clock } = options;
    this.lease = new ArchiverLease(options);
    this.sleep = new Sleep(clock);
    this.log = new ArchiverLog(logger, clock);
  }

  /** Begins to work in the background. */
  start(): void {
    if (this.isRunning || this.isClosing) return;
    this.isRunning = true;
    this.running = this.run().finally(() => {
      this.isRunning = false;
    });
  }

  /**
   * Delivers what waits, if this archiver holds the lease, for at most `limitMs`. Then gives the lease up and closes the sink.
   * Never rejects.
   */
  close(limitMs: number): Promise<void> {
    return (this.closed ??= this.end(limitMs));
  }

  private async end(limitMs: number): Promise<void> {
    const { clock, sink } = this.options;
    this.isClosing = true;
    this.sleep.wake();
    const running = this.running ?? Promise.resolve();
    await atMost(limitMs, running, clock);
    // A batch that is still being written is not acknowledged. The next archiver delivers it again.
    const released = this.lease.release().catch(() => undefined);
    this.sleep.wake();
    await atMost(limitMs, released, clock);
    const closed = running
      .then(() => sink.close?.())
      .catch((error: unknown) => this.log.failed('sink', error));
    // A sink is closed after its last write, and that may hang.
    if (!this.isRunning) await atMost(limitMs, closed, clock);
  }

  /** Never rejects. */
  private async run(): Promise<void> {
    const { leaseMs, clock } = this.options;
    for (let failures = 0; ;) {
      let pauseMs = jittered(leaseMs / 3, clock);
      try {
        if (await this.lease.take()) {
          const outcome = await this.archive();
          // Another archiver may reach the sink.
          if (outcome === 'failed' && !this.isClosing) {
            await this.lease.release();
            pauseMs = 2 * leaseMs;
          }
        }
        failures = 0;
      } catch (error) {
        if (error instanceof AnynodeError && error.code === 'closed') return;
        this.log.failed('outboxes', error);
        pauseMs = jittered(pauseAfter(failures, PAUSES), clock);
        failures += 1;
      } finally {
        this.lease.stop();
      }
      if (this.isClosing) return;
      await this.sleep.atMost(pauseMs);
    }
  }

  private archive() {
    const { options, lease, sleep, log } = this;
    const { redact, sealWith } = options;
    const loop = new ArchiveLoop({
      ...{ outboxes: options.outboxes, sessions: options.sessions, archiver: options.archiver },
      ...{ sink: options.sink, clock: options.clock, lease, sleep, log, redact, sealWith },
      onRedactFailed: (error) =>
        log.warn(
          'redact',
          `\`redact\` has thrown, so a message was left out of the audit trail: ${String(error)}`,
        ),
      isClosing: () => this.isClosing,
    });
    return loop.run();
  }
}
