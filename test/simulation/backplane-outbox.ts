import type { MemoryOutbox } from '../../src/backplane/memory/memory-outbox.js';
import type {
  AuditOutboxes,
  Delivered,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxPage,
  OutboxReply,
} from '../../src/backplane/roles/audit-outboxes.js';
import { Snapshot } from './snapshot.js';

type Run = <T>(name: string, execute: (attempt: number) => Promise<T>) => Promise<T>;

/** The outbox that all nodes share. */
export class SharedOutbox {
  /** True if a failover has lost an acknowledgment, or the state of a chain that had begun. */
  hasLostSteps = false;
  /** How many steps of archivers have changed the outbox. */
  steps = 0;

  constructor(private readonly memory: MemoryOutbox) {}

  /** Whether the entry that was read at this place is there. A failover may have put another one there. */
  has(place: string): boolean {
    return this.memory['entries'].some((entry) => placeOf(entry) === place);
  }

  isAt(mark: string): boolean {
    return this.memory['checkpoint'].mark === mark;
  }

  /** Remembers what a replica has received so far. The returned function puts it back. */
  replicate(): () => void {
    const { memory, steps } = this;
    const snapshot = new Snapshot(memory);
    return () => {
      // No two acknowledgments have the same mark, not even after a failover.
      const acknowledgments = memory['acknowledgments'];
      snapshot.restore();
      memory['acknowledgments'] = acknowledgments;
      if (this.steps > steps) this.hasLostSteps = true;
    };
  }
}

/** The outbox as one node sees it, behind its connection. It acts as the scripts of the Redis backplane do. */
export class SimOutboxes implements AuditOutboxes {
  constructor(
    private readonly options: {
      inner: AuditOutboxes;
      shared: SharedOutbox;
      read: Run;
      write: Run;
      note: (text: string) => void;
    },
  ) {}

  outboxes(): Promise<string[]> {
    return this.options.read('outboxes', () => this.options.inner.outboxes());
  }

  lease(archiver: string, ms: number): Promise<boolean> {
    return this.options.write('archiver', () => this.options.inner.lease(archiver, ms));
  }

  release(archiver: string): Promise<void> {
    return this.options.write('release archiver', () => this.options.inner.release(archiver));
  }

  claim(outbox: string, archiver: string): Promise<OutboxCheckpoint> {
    const { inner, write, note } = this.options;
    return write('claim outbox', () => {
      note(`${archiver} claims the outbox`);
      return inner.claim(outbox, archiver);
    });
  }

  readOutbox(outbox: string, { after, ...page }: OutboxPage): Promise<OutboxReply> {
    const { inner, shared, read } = this.options;
    return read('read outbox', async () => {
      const reply = await inner.readOutbox(outbox, { ...page, after: after && idOf(after) });
      if (reply.status !== 'ok') return reply;
      if (after !== undefined && !shared.has(after)) return { status: 'changed' };
      const entries = reply.entries.map((entry) => ({ ...entry, id: placeOf(entry) }));
      return { status: 'ok', entries };
    });
  }

  chains(outbox: string, sessionIds: string[]): Promise<(string | undefined)[]> {
    return this.options.read('chains', () => this.options.inner.chains(outbox, sessionIds));
  }

  beginChains(outbox: string, archiver: string, chains: ReadonlyMap<string, string>) {
    const { inner, shared, write } = this.options;
    return write('begin chains', async () => {
      const reply = await inner.beginChains(outbox, archiver, chains);
      if (reply === 'ok') shared.steps += 1;
      return reply;
    });
  }

  acknowledge(outbox: string, delivered: Delivered) {
    const { inner, shared, write, note } = this.options;
    const { archiver, mark, upTo, ordinal } = delivered;
    let first: OutboxCheckpoint | undefined;
    return write('acknowledge', async () => {
      // A repeat finds the mark that the first try has made.
      if (first !== undefined && shared.isAt(first.mark)) return first;
      if (shared.isAt(mark) && !shared.has(upTo)) return 'changed';
      const reply = await inner.acknowledge(outbox, { ...delivered, upTo: idOf(upTo) });
      note(`${archiver} acknowledges ${ordinal}: ${typeof reply === 'string' ? reply : 'ok'}`);
      if (typeof reply === 'string') return reply;
      shared.steps += 1;
      return (first = reply);
    });
  }

  endExpired(outbox: string, count: number, from?: string): Promise<{ next?: string }> {
    const { inner, write } = this.options;
    return write('end expired', () => inner.endExpired(outbox, count, from));
  }

  waiting() {
    return this.options.read('waiting', () => this.options.inner.waiting());
  }
}

/** Returns the place of an entry. As with Redis, it says which entry was there. */
function placeOf({ id, sessionId, entry }: OutboxEntry): string {
  return `${id} ${entry.logId} ${sessionId}`;
}

function idOf(place: string): string {
  return place.slice(0, place.indexOf(' '));
}
