/** Checks what was stored, and what connections showed of it. */
import type { Place, Showing, Stored } from '../records.js';
import { shownOn } from '../../../src/stream/shown-on.js';
import type { World } from '../world.js';
import type { Check } from './index.js';

export const STANDALONE = 'g';

/** The entries of each stream, in their order. */
function streamsOf({ ledger }: World): Map<string, Stored[]> {
  const streams = new Map<string, Stored[]>();
  for (const entry of ledger.stored) {
    const key = `${entry.sessionId} ${entry.stream}`;
    const entries = streams.get(key);
    if (entries === undefined) streams.set(key, [entry]);
    else entries.push(entry);
  }
  return streams;
}

/**
 * Whether an entry need not be shown: it only marks an end, is a question of a node that may have been taken for dead, or
 * was lost in a failover.
 */
export function maySkip({ mayBeFoundDead }: World, { message, asker, lost }: Stored): boolean {
  return message === undefined || lost || (asker !== undefined && mayBeFoundDead(asker));
}

/**
 * Whether an entry comes before a client's cursor in the log although it was stored later: after a failover, the clock of
 * the new master is behind, and the node that stored the entry had seen nothing of the lost ones.
 */
function isBehind({ ledger }: World, entry: Stored, cursor: string | undefined): boolean {
  if (cursor === undefined || ledger.clockWentBackAt > entry.at) return false;
  const named = ledger.stored.find(({ id }) => id === cursor);
  return named?.lost === true && entry.nodeId !== named.nodeId && timeOf(entry) <= timeOf(named);
}

/**
 * Whether a failover has lost this message after it was shown, and its node has stored it again under the same number. The
 * client has had it. `shown` are the entries of the stream up to the last one that was shown.
 */
function wasShownBefore({ n, message }: Stored, shown: Stored[]): boolean {
  return shown.some((entry) => entry.lost && entry.n === n && entry.message === message);
}

/**
 * Whether a failover has lost the message at the client's position, this entry got its number or a lower one, and the log
 * was trimmed up to this entry before the client came back. The rest of the log does not show that the client has missed
 * it.
 */
function isUntold({ ledger }: World, { n, trimmedAt }: Stored, place: string | undefined): boolean {
  const named = ledger.stored.find(({ id }) => id === place);
  return named?.lost === true && trimmedAt !== undefined && n <= named.n;
}

export function isBehindAny(world: World, entry: Stored, entries: Stored[]): boolean {
  return entries.some(({ id, lost }) => lost && isBehind(world, entry, id));
}

/** Returns the time in the log id of an entry. */
function timeOf({ id }: Stored): number {
  return parseInt(id.split('.')[3] ?? '', 36);
}

function markOf(message: string | undefined): string | undefined {
  return message === undefined ? undefined : /"mark":"([^"]*)"/.exec(message)?.[1];
}

/** Returns the index of the entry that an event showed, or -1 if there is none. */
function indexOf(entries: Stored[], { id }: Place, data?: string): number {
  return entries.findLastIndex(
    (entry) => entry.id === id && (data === undefined || entry.message === data),
  );
}

/**
 * Returns the index of the last entry that is not after a place, or -1 if the place is before all entries. If the place
 * names no entry, its number counts. After a failover has lost entries, numbers are used again, so the result is
 * `undefined` then.
 */
function lastUpTo(entries: Stored[], place: Place): number | undefined {
  const itself = indexOf(entries, place);
  if (itself >= 0) return itself;
  if (entries.some(({ lost }) => lost)) return undefined;
  return entries.findLastIndex(({ n }) => n <= place.n);
}

/**
 * A connection shows the messages of one stream as they were stored: from its cursor on, in order, each once, without a
 * gap.
 */
export const inOrder: Check = function* (world) {
  const streams = streamsOf(world);
  for (const { connection, sessionId, cursor, shown, at: since } of world.ledger.showings) {
    const stream = cursor?.stream ?? shown[0]?.stream;
    const entries = streams.get(`${sessionId} ${stream}`) ?? [];
    const wentBack = world.ledger.mayHaveLost(sessionId, 0);
    let begin = cursor?.n;
    // A later entry may have the id of a lost one.
    const before = entries.filter((entry) => entry.at <= since);
    let last = cursor && lastUpTo(before, cursor);
    for (const event of shown) {
      if (event.stream !== stream) {
        yield `${connection} shows stream ${stream}, and ${event.stream} as well`;
      }
      if (event.data === '') {
        begin ??= event.n;
        if (begin !== event.n && !wentBack) {
          yield `${connection} begins at ${event.n}, not at ${begin}`;
        }
        // The place of a priming event in front of a trimmed log may name a lost entry. Such a place does not say which
        // messages come after it.
        const named = lastUpTo(entries, event);
        if (named !== undefined && entries[named]?.lost !== true) last ??= named;
        continue;
      }
      const at = indexOf(entries, event, event.data);
      if (at < 0) {
        const stored = entries.filter(({ n }) => n === event.n).map(({ message }) => message);
        yield `${connection} shows ${stream} ${event.n} as ${event.data}, stored is ${stored.join()}`;
        continue;
      }
      if (last !== undefined) {
        const before = entries[last]?.n ?? 0;
        if (at <= last) yield `${connection} shows ${stream} ${event.n} after ${before}`;
        const missing = entries
          .slice(last + 1, at)
          .filter((entry) => !maySkip(world, entry))
          .filter((entry) => !isBehind(world, entry, cursor?.id))
          .filter((entry) => !isBehind(world, entry, entries[last ?? -1]?.id))
          .filter((entry) => !isUntold(world, entry, entries[last ?? -1]?.id))
          .filter((entry) => !wasShownBefore(entry, entries.slice(0, (last ?? -1) + 1)));
        for (const { n, message } of missing) {
          yield `${connection} shows ${stream} ${event.n} after ${before}, without ${n} (${markOf(message)})`;
        }
      }
      last = at;
    }
  }
};

/** A GET without a cursor leaves out only messages that were written to an earlier connection. */
export const nothingSkipped: Check = function* (world) {
  const streams = streamsOf(world);
  const written = new Map<string, Set<string>>();
  const began = new Set<string>();
  for (const { connection, sessionId, place, at, resumed } of world.ledger.written) {
    if (place.stream !== STANDALONE) continue;
    const key = `${sessionId} ${place.stream}`;
    const before = written.get(key) ?? new Set();
    written.set(key, before);
    if (!began.has(connection) && !resumed) {
      const entries = streams.get(key) ?? [];
      for (const entry of entries.slice(0, Math.max(indexOf(entries, place), 0))) {
        if (
          !before.has(entry.id) &&
          !maySkip(world, entry) &&
          (entry.trimmedAt ?? Infinity) > at &&
          !isBehindAny(world, entry, entries)
        ) {
          yield `${connection} begins with ${place.n} of ${sessionId}, and ${entry.n} was written to nobody`;
        }
      }
      // When nothing fails, the old holder tells its last position. A client may have resumed from an earlier one.
      const wentBack = world.ledger.resumptions.some(
        (each) =>
          each.sessionId === sessionId &&
          each.place.stream === place.stream &&
          each.place.n < place.n &&
          each.at <= at,
      );
      if (world.setting.isQuick && before.has(place.id) && !wentBack) {
        yield `${connection} begins with ${place.n} of ${sessionId}, which was written before`;
      }
    }
    began.add(connection);
    before.add(place.id);
  }
};

/** A client that listens at the end of the run has been shown all messages. */
export const madeUpFor: Check = function* (world) {
  const streams = streamsOf(world);
  for (const client of world.clients) {
    if (client.over || client.sessionId === undefined || client.listening === undefined) continue;
    const entries = streams.get(`${client.sessionId} ${STANDALONE}`) ?? [];
    const mine = world.ledger.showings.filter(
      ({ client: of, method, cursor }) =>
        of === client.options.name &&
        method === 'GET' &&
        (cursor?.stream ?? STANDALONE) === STANDALONE,
    );
    const last = lastShown(entries, mine);
    const due = entries.findLast(
      (entry) =>
        !maySkip(world, entry) &&
        entry.trimmedAt === undefined &&
        !isBehindAny(world, entry, entries) &&
        !wasShownBefore(entry, entries.slice(0, last + 1)),
    );
    if (due === undefined) continue;
    // A client without a cursor does not get messages that were written to an earlier connection.
    const isLost = mine.at(-1)?.cursor === undefined && wasWritten(world, due);
    if (last < entries.indexOf(due) && !isLost) {
      yield `${client.options.name} was shown the standalone stream up to ${entries[last]?.n ?? 0}, there is ${due.n} (${markOf(due.message)})`;
    }
  }
};

function wasWritten({ ledger }: World, { sessionId, id }: Stored): boolean {
  return ledger.written.some((each) => each.sessionId === sessionId && each.place.id === id);
}

/** Returns the index of the last entry that a client was shown. */
function lastShown(entries: Stored[], showings: Showing[]): number {
  const indexes = showings.flatMap(({ shown, cursor }) => [
    ...(cursor?.stream === STANDALONE ? [lastUpTo(entries, cursor) ?? -1] : []),
    ...shown
      .filter(({ stream }) => stream === STANDALONE)
      .map((event) => lastUpTo(entries, event) ?? -1),
  ]);
  return Math.max(-1, ...indexes);
}

/** Every message is stored once, on the stream to which it belongs. */
export const onOneStream: Check = function* ({ ledger, setting }) {
  const where = new Map<string, Stored>();
  for (const entry of ledger.stored) {
    const mark = markOf(entry.message);
    if (mark === undefined) continue;
    const before = where.get(mark);
    if (before !== undefined && !before.lost && !ledger.tasks.mayBeShownTwice(mark)) {
      yield `${mark} is stored as ${before.stream} ${before.n} and as ${entry.stream} ${entry.n}`;
    }
    where.set(mark, entry);
  }
  for (const execution of ledger.executions) {
    for (const { mark, related } of execution.said) {
      const entry = where.get(mark);
      if (entry === undefined) continue;
      const own = related && (setting.responseMode === 'sse' || mark.endsWith('.answer'));
      const { sessionId, key } = execution;
      const opened = ledger.streams.get(`${sessionId} ${key}`);
      const due = own && opened !== undefined ? shownOn(opened) : STANDALONE;
      if (entry.stream !== due) yield `${mark} is on stream ${entry.stream}, and belongs on ${due}`;
      if (entry.sessionId !== execution.sessionId) yield `${mark} is stored in ${entry.sessionId}`;
    }
  }
};

/**
 * If a server or an application was told that a message is stored, it is stored once, and in the order in which the
 * messages were sent.
 */
export const stored: Check = function* ({ ledger }) {
  const places = new Map<string, number>();
  const lost = new Set<string>();
  ledger.stored.forEach((entry, at) => {
    const mark = markOf(entry.message);
    if (mark === undefined) return;
    places.set(mark, at);
    // After a failover has lost a whole step, some of its messages may have been stored again.
    if (entry.lost) lost.add(mark);
    else lost.delete(mark);
  });
  for (const { mark, outcome, sessionId } of ledger.pushed) {
    if (outcome === 'stored' && !places.has(mark) && !ledger.removedAt.has(sessionId)) {
      yield `${mark} was to be told to ${sessionId}, and is not stored`;
    }
  }
  for (const execution of ledger.executions) {
    const again = ledger.executions.some(
      (other) =>
        other.id < execution.id &&
        other.sessionId === execution.sessionId &&
        other.key === execution.key,
    );
    const answered = places.has(`x${execution.id}.answer`);
    // The order holds for each stream. It holds across streams only if no failover has lost that a call of the session was
    // begun.
    const reordered = ledger.begun.some(
      ({ sessionId, lost }) => lost && sessionId === execution.sessionId,
    );
    let last = -1;
    for (const { mark, related, outcome } of execution.said) {
      const place = places.get(mark);
      if (place === undefined) {
        const due = outcome === 'stored' && !ledger.removedAt.has(execution.sessionId);
        // On the stream of a call, only the messages before its answer are expected, because another node may have ended
        // the call. A second run may send fewer messages.
        if (due && (!related || (answered && !again))) {
          yield `${mark} of ${execution.sessionId} was accepted, and is not stored`;
        }
        continue;
      }
      if (lost.has(mark) || (reordered && !related)) continue;
      if (place < last)
        yield `${mark} of ${execution.sessionId} is stored before what was said before`;
      last = place;
    }
  }
};
