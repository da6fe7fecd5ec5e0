/** What was stored, and what connections showed of it. */
import type { Showing, Stored } from '../ledger.js';
import type { World } from '../world.js';
import type { Check } from './index.js';

const STANDALONE = 'g';

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

/** Nobody has to show it: it only marks an end, or is a question of a node that was found dead. */
function maySkip({ backplane }: World, { message, asker }: Stored): boolean {
  return message === undefined || (asker !== undefined && backplane.foundDead.has(asker));
}

function markOf(message: string | undefined): string | undefined {
  return message === undefined ? undefined : /"mark":"([^"]*)"/.exec(message)?.[1];
}

/** A connection shows one stream's messages as they are stored: from its cursor on, in order, none twice, none left out. */
export const inOrder: Check = function* (world) {
  const streams = streamsOf(world);
  for (const showing of world.ledger.showings) {
    const stream = showing.cursor?.stream ?? showing.shown[0]?.stream;
    const entries = streams.get(`${showing.sessionId} ${stream}`) ?? [];
    let last = showing.cursor?.n;
    for (const event of showing.shown) {
      if (event.stream !== stream) {
        yield `${showing.connection} shows stream ${stream}, and ${event.stream} as well`;
      }
      if (event.data === '') {
        last ??= event.n;
        if (last !== event.n) yield `${showing.connection} begins at ${event.n}, not at ${last}`;
        continue;
      }
      const entry = entries.find(({ n }) => n === event.n);
      if (entry?.message !== event.data) {
        yield `${showing.connection} shows ${stream} ${event.n} as ${event.data}, stored is ${entry?.message}`;
      }
      if (last !== undefined) {
        if (event.n <= last) yield `${showing.connection} shows ${stream} ${event.n} after ${last}`;
        const from = last;
        const missing = entries.filter(
          (other) => other.n > from && other.n < event.n && !maySkip(world, other),
        );
        for (const { n, message } of missing) {
          yield `${showing.connection} shows ${stream} ${event.n} after ${last}, without ${n} (${markOf(message)})`;
        }
      }
      last = event.n;
    }
  }
};

/** A GET without a cursor begins behind what some connection was written before, and nowhere later. */
export const nothingSkipped: Check = function* (world) {
  const streams = streamsOf(world);
  const written = new Map<string, Set<number>>();
  const began = new Set<string>();
  for (const { connection, sessionId, stream, n, at, resumed } of world.ledger.written) {
    if (stream !== STANDALONE) continue;
    const key = `${sessionId} ${stream}`;
    const before = written.get(key) ?? new Set();
    written.set(key, before);
    if (!began.has(connection) && !resumed) {
      for (const entry of streams.get(key) ?? []) {
        if (entry.n < n && !before.has(entry.n) && !maySkip(world, entry)) {
          yield `${connection} begins with ${n} of ${sessionId}, and ${entry.n} was written to nobody`;
        }
      }
      // On a network that is quick and whole, the old holder says how far it came. It may have gone back, for its client.
      const wentBack = world.ledger.resumptions.some(
        (each) =>
          each.sessionId === sessionId && each.stream === stream && each.n < n && each.at <= at,
      );
      if (world.setting.isQuick && before.has(n) && !wentBack) {
        yield `${connection} begins with ${n} of ${sessionId}, which was written before`;
      }
    }
    began.add(connection);
    before.add(n);
  }
};

/** Who listens in the end has been shown everything that there was to show. */
export const madeUpFor: Check = function* (world) {
  const streams = streamsOf(world);
  for (const client of world.clients) {
    if (client.over || client.sessionId === undefined || client.listening === undefined) continue;
    const key = `${client.sessionId} ${STANDALONE}`;
    const due = (streams.get(key) ?? []).filter((entry) => !maySkip(world, entry)).at(-1);
    if (due === undefined) continue;
    const mine = world.ledger.showings.filter(
      ({ client: of, method, cursor }) =>
        of === client.options.name &&
        method === 'GET' &&
        (cursor?.stream ?? STANDALONE) === STANDALONE,
    );
    const last = lastShown(mine);
    // Without a cursor, what was written to an earlier connection is the client's loss.
    const isLost = mine.at(-1)?.cursor === undefined && wasWritten(world, due);
    if (last < due.n && !isLost) {
      yield `${client.options.name} was shown the standalone stream up to ${last}, there is ${due.n} (${markOf(due.message)})`;
    }
  }
};

function wasWritten({ ledger }: World, { sessionId, stream, n }: Stored): boolean {
  return ledger.written.some(
    (each) => each.sessionId === sessionId && each.stream === stream && each.n === n,
  );
}

function lastShown(showings: Showing[]): number {
  const numbers = showings.flatMap(({ shown, cursor }) => [
    ...(cursor?.stream === STANDALONE ? [cursor.n] : []),
    ...shown.filter(({ stream }) => stream === STANDALONE).map(({ n }) => n),
  ]);
  return Math.max(0, ...numbers);
}

/** Every message is on one stream, once, and on the one where it belongs. */
export const onOneStream: Check = function* ({ ledger, setting }) {
  const where = new Map<string, Stored>();
  for (const entry of ledger.stored) {
    const mark = markOf(entry.message);
    if (mark === undefined) continue;
    const before = where.get(mark);
    if (before !== undefined) {
      yield `${mark} is stored as ${before.stream} ${before.n} and as ${entry.stream} ${entry.n}`;
    }
    where.set(mark, entry);
  }
  for (const execution of ledger.executions) {
    for (const { mark, related } of execution.said) {
      const entry = where.get(mark);
      if (entry === undefined) continue;
      const own = related && (setting.responseMode === 'sse' || mark.endsWith('.answer'));
      if ((entry.stream !== STANDALONE) !== own) {
        yield `${mark} is on stream ${entry.stream}, and belongs on ${own ? "its call's" : 'the standalone one'}`;
      }
      if (entry.sessionId !== execution.sessionId) yield `${mark} is stored in ${entry.sessionId}`;
    }
  }
};

/** What a server or an application was told is stored, is stored, once; and in the order in which it was said. */
export const stored: Check = function* ({ ledger }) {
  const places = new Map<string, number>();
  ledger.stored.forEach(({ message }, at) => {
    const mark = markOf(message);
    if (mark !== undefined) places.set(mark, at);
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
        other.requestId === execution.requestId,
    );
    const answered = places.has(`x${execution.id}.answer`);
    let last = -1;
    for (const { mark, related, outcome } of execution.said) {
      const place = places.get(mark);
      if (place === undefined) {
        const due = outcome === 'stored' && !ledger.removedAt.has(execution.sessionId);
        // Of a call, only what comes before its answer: another may have ended it. A second run may say less.
        if (due && (!related || (answered && !again))) {
          yield `${mark} of ${execution.sessionId} was accepted, and is not stored`;
        }
        continue;
      }
      if (place < last)
        yield `${mark} of ${execution.sessionId} is stored before what was said before`;
      last = place;
    }
  }
};
