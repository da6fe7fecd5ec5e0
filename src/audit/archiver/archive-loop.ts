/** Goes around the outboxes for as long as the archiver holds its lease, and delivers what waits in them to the sink. */
import { pauseAfter } from '../../protocol/timing/backoff.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { jittered } from '../../protocol/timing/clock.js';
import type { AuditRecord, AuditSink } from '../record.js';
import type { ArchiverLease } from './archiver-lease.js';
import type { WorkOptions } from './outbox-work.js';
import { OutboxLost, OutboxWork } from './outbox-work.js';
import type { Sleep } from './sleep.js';

export interface LoopOptions extends WorkOptions {
  sink: AuditSink;
  clock: Clock;
  lease: ArchiverLease;
  sleep: Sleep;
  /** True once the archiver is to stop when it has delivered what waits. */
  isClosing: () => boolean;
}

/**
 * Why the loop has ended: the lease is `lost`, the archiver has `closed` and nothing more waits, or the sink has `failed` for
 * long.
 */
type Outcome = 'lost' | 'closed' | 'failed';

interface Place {
  work: OutboxWork;
  /** When the outbox is looked at next. */
  dueAt: number;
  /** When expired sessions are looked for next. */
  sweepAt: number;
  failures: number;
  /** True once an archiver that closes has nothing more to do here. */
  isDone: boolean;
}

/** Outboxes whose records are delivered together. */
const GROUP = 8;
/** An outbox in which nothing waits is looked at after this time, and up to twice as long. */
const IDLE_MS = 250;
/** An outbox in which little waits is looked at after this time, so that records are delivered in larger batches. */
const BUSY_MS = 100;
/** All outboxes together are looked at no more often than this, and searched for expired sessions no more often than that. */
const LOOKS_PER_SECOND = 2_000;
const SWEEPS_PER_SECOND = 200;
/** The list of outboxes is read again after this time. In a cluster, a session in a new slot adds one. */
const LIST_MS = 2_000;
const EMPTY_LIST_MS = 300;
/** How many chains a look for expired sessions takes, and how long after the last chain it begins again. */
const SWEPT = 500;
const SWEEP_MS = 5_000;
const BUSY_SWEEP_MS = 2_000;
/** How many chains are kept in memory, of all outboxes together. */
const MOST_CACHED = 20_000;
const PAUSES = { firstMs: 200, longestMs: 5_000 };
/** An archiver whose sink has failed for so long gives its lease up, because another one may reach the sink. */
const GIVE_UP_MS = 30_000;
const SLOW_SINK_MS = 30_000;

export class ArchiveLoop {
  private readonly places = new Map<string, Place>();
  private listAt = -Infinity;
  private mayLookAt = 0;

  constructor(private readonly options: LoopOptions) {}

  /** Archives until there is a reason to end. Rejects only if the list of outboxes cannot be read. */
  async run(): Promise<Outcome> {
    const { clock, sleep, lease, isClosing } = this.options;
    let isLast = false;
    for (;;) {
      if (!lease.isHeld()) return 'lost';
      // What waits when the archiver begins to close is still delivered.
      if (isClosing() && !isLast) {
        isLast = true;
        this.listAt = -Infinity;
        // A look that began before may have seen nothing.
        for (const place of this.places.values()) place.isDone = false;
      }
      if (clock.elapsed() >= this.listAt) await this.list();
      const places = [...this.places.values()];
      const now = clock.elapsed();
      const due = isLast
        ? places.filter(({ isDone }) => !isDone)
        : places.filter(({ dueAt }) => dueAt <= now);
      if (isLast && due.length === 0) return 'closed';
      for (let at = 0; at < due.length; at += GROUP) {
        const group = due.slice(at, at + GROUP);
        await this.pace(group.length);
        if (!lease.isHeld()) return 'lost';
        const outcome = await this.round(group);
        if (outcome !== 'done') return outcome;
        if (isClosing() && !isLast) break;
      }
      if (isClosing()) continue;
      const next = places.reduce((first, { dueAt }) => Math.min(first, dueAt), this.listAt);
      await sleep.atMost(Math.max(0, next - clock.elapsed()));
    }
  }

  private async list(): Promise<void> {
    const { clock, outboxes } = this.options;
    const names = new Set(await outboxes.outboxes());
    for (const name of this.places.keys()) if (!names.has(name)) this.places.delete(name);
    for (const name of names) {
      if (this.places.has(name)) continue;
      const work = new OutboxWork(name, this.options);
      this.places.set(name, { work, dueAt: 0, sweepAt: 0, failures: 0, isDone: false });
    }
    this.listAt = clock.elapsed() + jittered(names.size === 0 ? EMPTY_LIST_MS : LIST_MS, clock);
  }

  /** Waits until so many outboxes may be looked at. */
  private async pace(count: number): Promise<void> {
    const { clock, sleep } = this.options;
    const now = clock.elapsed();
    this.mayLookAt = Math.max(now, this.mayLookAt) + (count * 1000) / LOOKS_PER_SECOND;
    // A timer for less would be inexact.
    if (this.mayLookAt - now > 20) await sleep.atMost(this.mayLookAt - now);
  }

  /** Delivers one batch of each outbox of a group. */
  private async round(group: Place[]): Promise<Exclude<Outcome, 'closed'> | 'done'> {
    const batches: { place: Place; records: AuditRecord[] }[] = [];
    await this.each(group, async (place) => {
      const records = await place.work.next();
      if (records === undefined) await this.idle(place);
      else batches.push({ place, records });
    });
    if (batches.length === 0) return 'done';
    const places = batches.map(({ place }) => place);
    const records = batches.flatMap((batch) => batch.records);
    const [written] = await Promise.all([
      records.length === 0 ? ('done' as const) : this.write(records),
      this.each(places, (place) => place.work.readAhead()),
    ]);
    if (written !== 'done') {
      for (const { work } of places) work.reset();
      return written;
    }
    const { clock } = this.options;
    const mostCached = Math.ceil(MOST_CACHED / this.places.size);
    // If another archiver has claimed an outbox meanwhile, it delivers the same records again.
    await this.each(places, async (place) => {
      await place.work.acknowledge(mostCached);
      place.failures = 0;
      place.dueAt = clock.elapsed() + (place.work.hasMore ? 0 : BUSY_MS);
      if (!this.options.isClosing()) await this.sweep(place, BUSY_SWEEP_MS);
      else place.isDone = !place.work.hasMore;
    });
    return 'done';
  }

  /** Nothing waits in an outbox. */
  private async idle(place: Place): Promise<void> {
    const { clock } = this.options;
    place.failures = 0;
    place.isDone = this.options.isClosing();
    const idleMs = IDLE_MS * (1 + clock.random());
    place.dueAt = clock.elapsed() + Math.max(idleMs, (this.places.size * 1000) / LOOKS_PER_SECOND);
    if (!place.isDone) await this.sweep(place, 0);
  }

  /** Looks for expired sessions if it is time. If there are more chains to be looked at, that is after `moreMs`. */
  private async sweep(place: Place, moreMs: number): Promise<void> {
    const { clock } = this.options;
    if (place.sweepAt > clock.elapsed()) return;
    const hasMore = await place.work.endExpired(SWEPT);
    const pauseMs = Math.max(SWEEP_MS, (this.places.size * 1000) / SWEEPS_PER_SECOND);
    place.sweepAt = clock.elapsed() + (hasMore ? moreMs : jittered(pauseMs, clock));
  }

  /** Runs a step on each outbox. If it fails on one, the others go on. */
  private async each(places: Place[], step: (place: Place) => Promise<void>): Promise<void> {
    const { clock, log, lease, isClosing } = this.options;
    let failures = 0;
    await Promise.all(
      places.map(async (place) => {
        try {
          await step(place);
        } catch (error) {
          failures += 1;
          place.work.reset();
          place.isDone = isClosing();
          place.dueAt = clock.elapsed() + jittered(pauseAfter(place.failures, PAUSES), clock);
          place.failures += 1;
          if (error instanceof OutboxLost) lease.check();
          else log.failed('outboxes', error);
        }
      }),
    );
    if (failures === 0) log.works('outboxes');
  }

  /** Gives records to the sink until it has taken them. */
  private async write(records: AuditRecord[]): Promise<Exclude<Outcome, 'closed'> | 'done'> {
    const { sink, clock, log, lease, sleep, isClosing } = this.options;
    const began = clock.elapsed();
    for (let failures = 0; ; failures += 1) {
      const cancelTimer = clock.after(SLOW_SINK_MS, () => {
        log.failed('sink', new Error(`a write has not ended in ${SLOW_SINK_MS / 1000} s`));
      });
      try {
        await sink.write(records);
        log.works('sink');
        return 'done';
      } catch (error) {
        log.failed('sink', error);
      } finally {
        cancelTimer();
      }
      if (isClosing() || clock.elapsed() - began >= GIVE_UP_MS) return 'failed';
      await sleep.atMost(jittered(pauseAfter(failures, PAUSES), clock));
      if (!lease.isHeld()) return 'lost';
    }
  }
}
