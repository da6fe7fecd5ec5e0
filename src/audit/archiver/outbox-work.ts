/** The work of an archiver on one outbox: reading entries, making records of them, and acknowledging what was delivered. */
import type { SessionRecords } from '../../backplane/backplane.js';
import type {
  AuditOutboxes,
  OutboxCheckpoint,
  OutboxEntry,
} from '../../backplane/roles/audit-outboxes.js';
import { isUninitialized } from '../../replica/session-shape.js';
import type { ChainState } from './chain-state.js';
import { chainAfter, formatChain, newChain, parseChain } from './chain-state.js';
import type { KeepOptions } from './kept-message.js';
import { makeRecords, nameClient, setPrincipal, setProtocol } from './make-records.js';
import { parseStored } from '../../protocol/json/parse-stored.js';
import type { AuditRecord } from '../record.js';
import type { ArchiverLog } from './archiver-log.js';

/** Thrown when another archiver has claimed the outbox. */
export class OutboxLost extends Error {
  override readonly name = 'OutboxLost';
}

export interface WorkOptions extends KeepOptions {
  outboxes: AuditOutboxes;
  sessions: Pick<SessionRecords, 'load'>;
  /** The id of the archiver. */
  archiver: string;
  log: ArchiverLog;
}

/** Records of one outbox that are to be delivered together. */
interface Batch {
  records: AuditRecord[];
  upTo: string;
  /** The sessions of the batch with the state of their chains. `undefined`: the chain has ended. */
  chains: Map<string, ChainState | undefined>;
  ordinal: number;
}

const MOST_ENTRIES = 1_000;
const MOST_BYTES = 1024 * 1024;
/** So many chains or records of sessions are read at a time. */
const AT_ONCE = 50;
/** A state with more open requests is read again for each batch. Most have a few. */
const LARGEST_CACHED = 4 * 1024;

export class OutboxWork {
  /** `undefined`: the outbox has to be claimed first. */
  private checkpoint: OutboxCheckpoint | undefined;
  private chains = new Map<string, ChainState>();
  /** Entries that were read, and of which no records were made yet. */
  private entries: OutboxEntry[] = [];
  private batch: Batch | undefined;
  /** True if the last page was so large that there are probably more entries. */
  hasMore = false;
  /** Where the next look for expired sessions begins. */
  private sweptTo: string | undefined;

  constructor(
    readonly name: string,
    private readonly options: WorkOptions,
  ) {}

  /**
   * Makes the next batch, and returns its records. `undefined`: there is nothing to do. Rejects with {@link OutboxLost}, with
   * `backplane_unavailable`, or with what the codec throws. Then `reset` has to be called.
   */
  async next(): Promise<AuditRecord[] | undefined> {
    const { outboxes, archiver } = this.options;
    const checkpoint = (this.checkpoint ??= await outboxes.claim(this.name, archiver));
    if (this.entries.length === 0) await this.read(undefined);
    // A read that finds the outbox at another checkpoint forgets this one, and all entries.
    if (this.entries.length === 0) return undefined;
    const taken = this.takeEntries();
    const chains = await this.chainsOf(taken);
    const batch: Batch = { records: [], upTo: '', chains: new Map(), ordinal: checkpoint.ordinal };
    let missing = 0;
    for (const entry of taken) {
      batch.upTo = entry.id;
      const { sessionId } = entry;
      const chain = chains.get(sessionId);
      // The session's end came twice, or the session had no records.
      if (chain === undefined) continue;
      const options = { ...this.options, outbox: this.name };
      const { records, state } = makeRecords(entry, chain, batch.ordinal, options);
      batch.records.push(...records);
      batch.ordinal += records.length;
      batch.chains.set(sessionId, state);
      if (state === undefined) chains.delete(sessionId);
      else chains.set(sessionId, state);
      missing += entry.gap?.entries ?? 0;
    }
    if (missing > 0) this.options.log.gap(missing);
    this.batch = batch;
    return batch.records;
  }

  /** Reads the page after the batch, while the batch is being delivered. */
  async readAhead(): Promise<void> {
    if (this.hasMore && this.entries.length === 0) await this.read(this.batch?.upTo);
  }

  /** Removes the entries of the delivered batch. `mostCached` is how many chains this outbox may keep in memory. */
  async acknowledge(mostCached: number): Promise<void> {
    const { batch, checkpoint } = this;
    if (batch === undefined || checkpoint === undefined) return;
    const { upTo, ordinal } = batch;
    const reply = await this.options.outboxes.acknowledge(this.name, {
      ...{ archiver: this.options.archiver, mark: checkpoint.mark, upTo, ordinal },
      chains: new Map([...batch.chains].map(([id, state]) => [id, state && formatChain(state)])),
    });
    if (reply === 'lost') throw new OutboxLost();
    if (reply === 'changed') {
      this.reset();
      return;
    }
    this.batch = undefined;
    this.checkpoint = reply;
    this.cache(batch.chains, mostCached);
  }

  /** Looks for sessions that have expired, among some of them. Returns true if there are more to be looked at. */
  async endExpired(count: number): Promise<boolean> {
    const { next } = await this.options.outboxes.endExpired(this.name, count, this.sweptTo);
    this.sweptTo = next;
    return next !== undefined;
  }

  /** Forgets all that is not stored. The next batch begins with a claim. */
  reset(): void {
    this.checkpoint = undefined;
    this.chains.clear();
    this.entries = [];
    this.batch = undefined;
    this.hasMore = false;
  }

  private async read(after: string | undefined): Promise<void> {
    const { checkpoint } = this;
    if (checkpoint === undefined) return;
    const { outboxes, archiver } = this.options;
    const reply = await outboxes.readOutbox(this.name, {
      ...{ archiver, mark: checkpoint.mark, after },
      ...{ maxEntries: MOST_ENTRIES, maxBytes: MOST_BYTES },
    });
    if (reply.status === 'lost') throw new OutboxLost();
    if (reply.status === 'changed') {
      this.reset();
      return;
    }
    this.entries = reply.entries;
    const bytes = this.entries.reduce((sum, { entry }) => sum + (entry.message?.length ?? 0), 0);
    this.hasMore = this.entries.length >= MOST_ENTRIES / 4 || bytes >= MOST_BYTES / 4;
  }

  /**
   * Takes the entries of the next batch. After the end of a session, the batch ends before a new session of the same id. The
   * new chain could not be stored while the state of the old one is, and would have another secret with a second delivery.
   */
  private takeEntries(): OutboxEntry[] {
    const ended = new Set<string>();
    let count = 0;
    for (const { sessionId, ended: end } of this.entries) {
      if (end === undefined && ended.has(sessionId)) break;
      if (end !== undefined) ended.add(sessionId);
      count += 1;
    }
    return this.entries.splice(0, count);
  }

  /**
   * Returns the states of the chains of these entries. Chains that begin are stored before, so that a second delivery has
   * the same ones.
   */
  private async chainsOf(entries: OutboxEntry[]): Promise<Map<string, ChainState>> {
    const { outboxes, archiver } = this.options;
    const found = new Map<string, ChainState>();
    /** The first entry of each session whose chain is not known. */
    const unknown = new Map<string, OutboxEntry>();
    for (const entry of entries) {
      const cached = this.chains.get(entry.sessionId);
      if (cached !== undefined) found.set(entry.sessionId, cached);
      else if (!unknown.has(entry.sessionId)) unknown.set(entry.sessionId, entry);
    }
    const begun = new Map<string, string>();
    await inSlices([...unknown], async (slice) => {
      const texts = await outboxes.chains(
        this.name,
        slice.map(([id]) => id),
      );
      const states = await Promise.all(
        slice.map(([, first], at) => this.chainFrom(texts[at], first)),
      );
      slice.forEach(([id], at) => {
        const state = states[at];
        if (state === undefined) return;
        found.set(id, state);
        if (texts[at] === undefined) begun.set(id, formatChain(state));
      });
    });
    if (begun.size === 0) return found;
    const reply = await outboxes.beginChains(this.name, archiver, begun);
    if (reply === 'lost') throw new OutboxLost();
    return found;
  }

  /** Returns the stored chain, or a new one that begins with this entry. `undefined`: no chain begins with its end. */
  private async chainFrom(
    text: string | undefined,
    { entry, sessionId, created, ended }: OutboxEntry,
  ): Promise<ChainState | undefined> {
    const stored = text === undefined ? undefined : parseChain(text);
    if (stored !== undefined) return stored;
    if (text !== undefined) {
      this.options.log.warn('chain', 'the stored state of a chain of the audit trail is malformed');
    } else if (ended !== undefined) {
      return undefined;
    }
    // A text that could not be decoded is empty, and a secret must not follow from that.
    const chain = text ? chainAfter(text, entry.logId) : newChain(entry.logId);
    if (created === undefined) await this.introduce(chain, sessionId);
    return chain;
  }

  /** Takes the principal and the client from the record of a session that began before its first entry in the outbox. */
  private async introduce(chain: ChainState, sessionId: string): Promise<void> {
    const record = await this.options.sessions.load(sessionId);
    if (record === undefined || record.unreadable === true) return;
    setPrincipal(chain, record.principal);
    if (isUninitialized(record)) return;
    nameClient(chain, parseStored(record.initialize));
    setProtocol(chain, record.protocolVersion);
  }

  private cache(chains: Map<string, ChainState | undefined>, most: number): void {
    for (const [id, state] of chains) {
      this.chains.delete(id);
      if (state === undefined || state.initialize !== undefined) continue;
      if (state.openSize <= LARGEST_CACHED) this.chains.set(id, state);
    }
    for (const oldest of this.chains.keys()) {
      if (this.chains.size <= most) break;
      this.chains.delete(oldest);
    }
  }
}

/** Runs a step on slices of a list, one after another. */
async function inSlices<T>(all: T[], step: (slice: T[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += AT_ONCE) await step(all.slice(at, at + AT_ONCE));
}
