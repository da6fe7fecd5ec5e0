/** Checks what clients of HTTP+SSE are shown on their one connection. */
import { HORIZON_MS } from '../plan.js';
import type { LegacyCall, LegacyConnection, Stored } from '../records.js';
import type { World } from '../world.js';
import type { Check } from './index.js';
import { LOST } from './requests.js';
import { isBehindAny, maySkip, STANDALONE } from './streams.js';

/**
 * A connection shows all messages of its session as they were stored: from the first on, in order, each once, without a
 * gap.
 */
export const legacyInOrder: Check = function* (world) {
  for (const record of world.ledger.legacy) {
    const { connection, sessionId, shown } = record;
    const entries = world.ledger.stored.filter(
      (entry) => entry.sessionId === sessionId && entry.stream === STANDALONE,
    );
    const mayBeSkipped = (entry: Stored): boolean =>
      maySkip(world, entry) || isBehindAny(world, entry, entries);
    // A message that a failover has lost may have been stored again. Then it is not known which of the two entries was
    // shown.
    let reached = [-1];
    for (const text of shown) {
      const same = [...entries.keys()].filter((at) => entries[at]?.message === text);
      const next = same.filter((at) =>
        reached.some((from) => from < at && entries.slice(from + 1, at).every(mayBeSkipped)),
      );
      if (next.length === 0) {
        const from = Math.min(...reached);
        const later = same.find((at) => at > from);
        const missing = entries.slice(from + 1, later).find((entry) => !mayBeSkipped(entry));
        const why = later === undefined ? 'again' : `without ${missing?.n} (${missing?.message})`;
        yield `${connection} shows ${text} ${same.length === 0 ? 'and that is not stored' : why}`;
        if (later !== undefined) next.push(later);
      }
      if (next.length > 0) reached = next;
    }
    if (!isOpen(record) || !world.backplane.has(sessionId)) continue;
    const due = entries.slice(Math.max(...reached) + 1).filter((entry) => !mayBeSkipped(entry));
    if (due.length > 0) yield `${connection} is open, and was never shown ${due[0]?.message}`;
  }
};

/**
 * A request that was acknowledged gets one response, as long as the connection lasts. No client waits for ever: if there
 * will be no response, the connection ends.
 */
export const legacyAnswered: Check = function* (world) {
  const { ledger, setting } = world;
  for (const record of ledger.legacy) {
    const { connection, sessionId, calls } = record;
    for (const call of calls) {
      const { id, at, status, cancelled, answers, answeredAt } = call;
      const what = `${id} of ${sessionId}, POSTed at ${at.toFixed()}`;
      // A failover may lose an answer that was shown, and then the request ends with an error (see the limits in
      // docs/guarantees.md).
      const mayBeLost = ledger.mayHaveLost(sessionId, at);
      const counted = mayBeLost
        ? answers.filter((answer, index) => index === 0 || !LOST.test(answer))
        : answers;
      if (counted.length > 1) {
        yield `${connection} shows ${answers.length} answers to ${what}: ${answers.join()}`;
      }
      const isMissed = status === 202 && answers.length === 0 && !cancelled;
      if (isOpen(record) && isMissed && !isForgotten(world, record, call)) {
        yield `${connection} is open, and ${what}, is not answered`;
      }
      const bound = Math.max(HORIZON_MS, at) + setting.leaseMs + 2000 + READING_MS;
      if (answers[0]?.includes('node_lost') === true && (answeredAt ?? 0) > bound) {
        yield `${connection} shows at ${answeredAt?.toFixed()} that the node of ${what}, is gone, expected was ${bound}`;
      }
    }
  }
};

/**
 * Whether a failover has lost the request and no node knows of it: the node to which it was POSTed has left, or has seen
 * the answer, which was lost as well (see the limits in docs/guarantees.md).
 */
function isForgotten(
  world: World,
  { sessionId }: LegacyConnection,
  { id, at }: LegacyCall,
): boolean {
  const { ledger, nodes } = world;
  const isLost = ledger.losses.some(
    (loss) => loss.sessionId === sessionId && loss.since <= at + POST_MS && loss.at >= at,
  );
  const asked = ledger.asked.find(
    (each) => each.sessionId === sessionId && each.at === at && each.messages.length > 0,
  );
  const isLeft = nodes.some(({ process, leftAt }) => {
    return process === asked?.exchange?.process && leftAt !== undefined;
  });
  const wasAnswered = ledger.stored.some(
    ({ message, lost, ...entry }) =>
      lost && entry.sessionId === sessionId && message?.startsWith(`{"jsonrpc":"2.0","id":${id},`),
  );
  return isLost && (isLeft || wasAnswered);
}

/** The longest time until a POST is stored. */
const POST_MS = 2000;

/** How long a client may take to go on reading, in addition to the time that messages are on their way. */
const READING_MS = 3500;

/** An answer belongs to its request, whichever node ran it. */
export const legacyBelongs: Check = function* ({ ledger }) {
  for (const { connection, calls } of ledger.legacy) {
    for (const { id, token, answers } of calls) {
      const [mark = ''] = answers;
      const [, by] = /^x(\d+)\.answer$/.exec(mark) ?? [];
      const key = ledger.executions[Number(by)]?.key;
      if (!mark.startsWith('error ') && key !== token && mark !== '') {
        yield `${connection} was shown ${mark} (${key}) as the answer to ${id} (${token})`;
      }
    }
  }
};

/** A connection and its session end together, in either order. */
export const legacyEndsTogether: Check = function* ({ ledger, backplane, nodes, setting }) {
  for (const record of ledger.legacy) {
    const { connection, sessionId, nodeId, ended, endedAt = 0, exchange } = record;
    const isThere = backplane.has(sessionId);
    if (isOpen(record) && !isThere) yield `${connection} is open, and ${sessionId} is not there`;
    const node = nodes.find((each) => each.nodeId === nodeId);
    if (ended === undefined || !isThere || node === undefined || node.left) continue;
    // If the node cannot write, or a failover loses the end, the session stays until its time is over.
    const closedAt = exchange?.closedAt ?? endedAt;
    const until = closedAt + setting.commandTimeoutMs;
    const slot = ledger.asked.find((asked) => asked.exchange === exchange)?.slot ?? 0;
    const isLossy = setting.loseReply + setting.loseCall + setting.refuse > 0;
    if (isLossy && closedAt < HORIZON_MS) continue;
    const may =
      ledger.outageMs(slot, closedAt, until) > 0 || ledger.mayHaveLost(sessionId, closedAt);
    if (!may && node.process.state === 'running') {
      yield `${connection} has ended at ${endedAt.toFixed()} (${ended}), and ${sessionId} is there`;
    }
  }
};

function isOpen({ ended, exchange }: LegacyConnection): boolean {
  return ended === undefined && exchange?.isOpen === true;
}
