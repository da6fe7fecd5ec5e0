import type { LogId, SessionRecord } from '../backplane/backplane.js';
import { compareLogIds } from '../backplane/backplane.js';
import type { Lease, Observation, StreamTable } from '../backplane/observation.js';
import type { Clock } from '../protocol/timing/clock.js';
import { eventOf } from './event-of-entry.js';
import { infoOf } from '../replica/session-info.js';
import type { SessionEvent } from '../options/public-types.js';
import { nodesOf } from './node-infos.js';
import { summaryOf } from './find-sessions.js';
import type { NodeInfo, NodeStats, SessionStats, Stats, Traffic } from './observer.js';

/** How many sessions each call looks at closely. It also checks others to see whether they were used later. */
const WATCHED = 100;
const PAGE = 100;
/** How many steps through the keys of Redis each call makes to find nodes. */
const SWEEPS = 10;
const NODES = 100;
/**
 * How many bytes of messages each call reads at most. The number of logged bytes is known before they are read, so a message
 * that is bigger is not read at all.
 */
const READ_BYTES = 512 * 1024;
const READ_SESSIONS = 50;
const READ_EVENTS = 100;
/** How many events a call returns at most: the last ones. */
const TOLD = 50;
/** The highest counter of a log id. */
const LAST_COUNTER = '18446744073709551615';

interface Watched {
  record: SessionRecord;
  table: StreamTable | undefined;
  /** The logged bytes at the last call. */
  loggedBytes: number | undefined;
  /** The place up to which the log was read, or need not be read. `undefined`: the log was not looked at before. */
  readTo: LogId | undefined;
}

/** Looks at a part of all sessions and keys with each call, and keeps watching the sessions that were used last. */
export class Survey {
  private watched = new Map<string, Watched>();
  /** The nodes that may be alive. */
  private nodeIds = new Set<string>();
  /** Nodes without a lease that sessions still name. Until the sweep has seen all keys again, only a found lease revives them. */
  private readonly dead = new Set<string>();
  private nodesComplete = false;
  private sweepAt: string | undefined;
  private pageAt: string | undefined;
  private lastAt: number | undefined;

  constructor(
    private readonly observation: Observation,
    private readonly clock: Pick<Clock, 'now' | 'elapsed'>,
  ) {}

  async next(): Promise<Stats> {
    const at = this.clock.now();
    const begun = this.clock.elapsed();
    const listed = await this.observation.listed();
    const sampled = await this.turnPage();
    // This time is taken before the bytes of each log are read. An entry that comes after them may still be of the same
    // millisecond, so this is the place before it. Such an entry is read with the next call.
    const now: LogId = `${(await this.observation.now()) - 1}-${LAST_COUNTER}`;
    await this.look();
    await this.sweep();
    const nodes = nodesOf(await this.leases());
    // No other call to Redis follows, so if this call fails, the next one reads the traffic of both.
    const traffic = await this.traffic(begun, now);
    this.lastAt = begun;
    const sessions = [...this.watched.values()].map(statsOf);
    for (const watched of this.watched.values()) {
      watched.loggedBytes = watched.table?.loggedBytes ?? 0;
    }
    return {
      ...{ at, nodes: nodes.map((node) => this.partOf(node)), nodesComplete: this.nodesComplete },
      ...{ listed, sessions, sampled },
      totals: {
        streams: sum(sessions, ({ streams }) => streams),
        followed: sum(sessions, ({ followed }) => followed),
        requests: sum(sessions, ({ requests }) => requests),
      },
      traffic,
    };
  }

  /** Looks at some more sessions. Those that were used later replace watched ones. */
  private async turnPage(): Promise<boolean> {
    const from = this.pageAt;
    const page = await this.observation.list(from, PAGE);
    this.pageAt = page.next;
    const ids = [...new Set([...this.watched.keys(), ...page.ids])];
    const records = await this.observation.sessions(ids);
    const found: Watched[] = [];
    for (const record of records) {
      if (record === undefined) continue;
      const known = this.watched.get(record.id);
      found.push(
        known === undefined
          ? { record, table: undefined, loggedBytes: undefined, readTo: undefined }
          : { ...known, record },
      );
    }
    found.sort((a, b) => b.record.lastSeenAt - a.record.lastSeenAt);
    this.watched = new Map(found.slice(0, WATCHED).map((each) => [each.record.id, each]));
    return from !== undefined || page.next !== undefined || found.length > WATCHED;
  }

  private async look(): Promise<void> {
    const note = (id: string | undefined): void => {
      if (id !== undefined && !this.dead.has(id)) this.nodeIds.add(id);
    };
    const all = [...this.watched.values()];
    const tables = await this.observation.tables(all.map(({ record }) => record.id));
    for (const [index, watched] of all.entries()) {
      const table = tables[index];
      watched.table = table;
      for (const id of table?.replicas ?? []) note(id);
      for (const { holder, executor } of table?.streams ?? []) {
        note(holder?.nodeId);
        note(executor);
      }
      note(watched.record.owner);
    }
  }

  private async traffic(begun: number, now: LogId): Promise<Traffic | undefined> {
    const moved = [...this.watched.values()].filter((each) => moreOf(each) > 0);
    const chosen: { watched: Watched; after: LogId }[] = [];
    let left = READ_BYTES;
    for (const watched of moved) {
      const more = moreOf(watched);
      const after = watched.readTo;
      if (chosen.length === READ_SESSIONS || more > left || after === undefined) continue;
      left -= more;
      chosen.push({ watched, after });
    }
    const logs = await this.observation.histories(
      chosen.map(({ watched, after }) => ({ id: watched.record.id, after, count: READ_EVENTS })),
    );
    for (const watched of this.watched.values()) {
      // Entries that were skipped stay skipped, because they would be too many for the next call as well.
      if (watched.readTo === undefined || moreOf(watched) > 0) watched.readTo = now;
    }
    const read: { session: string; event: SessionEvent }[] = [];
    for (const [index, { watched, after }] of chosen.entries()) {
      const entries = logs[index] ?? [];
      const last = entries.at(-1)?.logId ?? after;
      const isWhole = entries.length < READ_EVENTS;
      watched.readTo = isWhole || compareLogIds(last, now) > 0 ? last : now;
      const session = watched.record.id;
      for (const entry of entries) read.push({ session, event: eventOf(entry) });
    }
    if (this.lastAt === undefined) return undefined;
    read.sort((a, b) => compareLogIds(a.event.id, b.event.id));
    return {
      ms: begun - this.lastAt,
      bytes: sum(moved, moreOf),
      events: read.slice(-TOLD),
      count: read.length,
      partial: chosen.length < moved.length || logs.some(({ length }) => length === READ_EVENTS),
    };
  }

  /** Counts what a node has of the watched sessions. */
  private partOf(node: NodeInfo): NodeStats {
    const part = { sessions: 0, streams: 0, requests: 0 };
    for (const { table } of this.watched.values()) {
      if (table === undefined) continue;
      if (table.replicas.includes(node.id)) part.sessions += 1;
      const running = new Set<string>();
      for (const { name, holder, executor } of table.streams) {
        if (holder?.nodeId === node.id) part.streams += 1;
        if (executor === node.id) running.add(name);
      }
      part.requests += table.requests.filter(({ stream }) => running.has(stream)).length;
    }
    return { ...node, ...part };
  }

  private async leases(): Promise<Lease[]> {
    // Nodes that were alive at the last call come first.
    const asked = [...this.nodeIds].slice(0, NODES);
    const leases = await this.observation.leases(asked);
    const alive = new Set(leases.map(({ nodeId }) => nodeId));
    for (const id of asked) if (!alive.has(id)) this.dead.add(id);
    this.nodeIds = alive;
    return leases;
  }

  private async sweep(): Promise<void> {
    for (let step = 0; step < SWEEPS; step += 1) {
      const { nodeIds, next } = await this.observation.sweep(this.sweepAt);
      for (const id of nodeIds) this.nodeIds.add(id);
      this.sweepAt = next;
      if (next !== undefined) continue;
      this.nodesComplete = true;
      this.dead.clear();
      return;
    }
  }
}

/** Returns what was logged since the last call. `0` for a session that was not looked at then. */
function moreOf({ table, loggedBytes }: Watched): number {
  return table === undefined || loggedBytes === undefined ? 0 : table.loggedBytes - loggedBytes;
}

function statsOf(watched: Watched): SessionStats {
  const { record, table, loggedBytes } = watched;
  return {
    ...summaryOf(infoOf(record), table),
    bytes: loggedBytes === undefined ? undefined : moreOf(watched),
  };
}

function sum<T>(items: T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
