/** Checks how requests of clients and of servers have ended. */
import type { CallRecord, Execution, Stored } from '../records.js';
import { HORIZON_MS } from '../plan.js';
import { isReadOnly } from '../server.js';
import type { World } from '../world.js';
import type { Check } from './index.js';
import { RELEASED } from '../../../src/backplane/backplane.js';
import { QUESTION_MS } from '../server.js';
import { waitsForLostEnd } from './tasks.js';

interface Message {
  id?: string | number;
  method?: string;
}

/** Errors in place of an answer: the answer was lost, or the node that ran the request has died or was closed. */
export const LOST = /^error -32000 (answer_lost|node_lost|node_closed)$/;

/** Each request has at most one answer, in the log and at its client. */
export const endsOnce: Check = function* (world) {
  const { ledger } = world;
  const answers = new Map<string, string>();
  for (const { sessionId, message, stream, n, lost } of ledger.stored) {
    if (message === undefined || lost) continue;
    const { id, method } = JSON.parse(message) as Message;
    if (method !== undefined) continue;
    // Requests of other streams may use the same id.
    const key = `${sessionId} ${stream} ${JSON.stringify(id)}`;
    const before = answers.get(key);
    if (before !== undefined)
      yield `${key} has two answers: ${before}, and ${stream} ${n}: ${message}`;
    answers.set(key, message);
  }
  for (const { client, sessionId, at, answers: shown } of ledger.calls) {
    for (const [id, all] of shown) {
      // If an answer was shown and then lost, its request may also end with `answer_lost`, because other requests of the
      // stream are still open.
      const isOfUnknown = (mark: string): boolean => {
        const execution = ledger.executions[Number(/^x(\d+)/.exec(mark)?.[1])];
        return execution !== undefined && isUnknown(world, execution);
      };
      // An answer may be shown, and then lost before its node hears that it was stored. The node then stores the answer
      // again. The backplane does not know any more that the client has the answer, and maybe no node knows.
      const isAgain = (mark: string, index: number): boolean => {
        const before = all.slice(0, index).filter((each) => each === mark).length;
        const isLost = ({ message, lost }: Stored): boolean =>
          lost && message?.includes(`"mark":"${mark}"`) === true;
        return before > 0 && before <= ledger.stored.filter(isLost).length;
      };
      // An answer of a batch may be shown and then lost. If its node has died, the request may have run again.
      const isRunAgain = (mark: string, index: number): boolean => {
        const isLost = ({ message, lost }: Stored): boolean =>
          lost && message?.includes(`"mark":"${mark}"`) === true;
        return index < all.length - 1 && ledger.stored.some(isLost);
      };
      const marks = ledger.mayHaveLost(sessionId, at)
        ? all.filter((mark, index) => {
            if (LOST.test(mark) || isOfUnknown(mark)) return false;
            return !isAgain(mark, index) && !isRunAgain(mark, index);
          })
        : all;
      if (marks.length > 1)
        yield `${client} was shown ${marks.length} answers to ${id}: ${marks.join()}`;
    }
  }
};

/** Whether the only node that knew that it had begun this execution is dead, or may have been taken for dead. */
function isUnknown({ ledger, nodes, mayBeFoundDead }: World, execution: Execution): boolean {
  const { nodeId } = execution;
  const isGone =
    nodes.some((node) => node.nodeId === nodeId && node.left) || mayBeFoundDead(nodeId);
  return isGone && ledger.isForgotten(execution);
}

/** A request runs once. It may run again only if the option `recovery` and the tool allow that, and its node was lost. */
export const runsOnce: Check = function* (world) {
  const { ledger, setting } = world;
  const runs = new Map<string, (typeof ledger.executions)[number]>();
  for (const execution of ledger.executions) {
    const key = `${execution.sessionId} ${execution.requestId} ${execution.key}`;
    const before = runs.get(key);
    runs.set(key, execution);
    if (isReadOnly(setting, execution.tool)) {
      // It may begin before it is stored. If it is not stored then, or the replica was not current, it does not count.
      if (before === undefined || before.nodeId === execution.nodeId) continue;
    } else if (!execution.wasStored) {
      yield `${key} ran as x${execution.id} before it was stored`;
    }
    if (before === undefined) continue;
    // A question that a failover has lost is known to no node, and does not keep the request from being run again.
    const asked = ledger.stored.some(
      ({ asker, message, lost }) =>
        asker !== undefined && !lost && message?.includes(`"x${before.id}.`) === true,
    );
    const isHarmless = execution.tool === 'again' || isReadOnly(setting, execution.tool);
    const may = setting.recovery === 'rerun-idempotent' && isHarmless && !asked;
    // A node that was paused before it ran the request may run it after the node that has claimed it.
    const nodeIds = [before.nodeId, execution.nodeId];
    const claimed = ledger.claims.some(
      ({ sessionId, by }) => sessionId === execution.sessionId && nodeIds.includes(by),
    );
    if ((!may || !claimed) && !isUnknown(world, before)) {
      yield `${key} ran as x${before.id} on ${before.nodeId} and as x${execution.id} on ${execution.nodeId}`;
    }
  }
};

/** What a tool may still do after a question that nobody has answered. */
const REST_MS = 5000;

/**
 * Whether a tool of the call asks a client that does not listen: in JSON mode a question goes to the standalone stream. A tool
 * that asks late waits beyond the end of the run.
 */
function waitsForListener({ ledger, setting, scheduler }: World, call: CallRecord): boolean {
  if (setting.responseMode !== 'json') return false;
  const tokens = [...call.tokens.values()];
  return ledger.questions.some(
    ({ outcome, at, acknowledgedAt, execution }) =>
      execution.sessionId === call.sessionId &&
      tokens.includes(execution.key) &&
      (outcome === 'waiting' || outcome === 'timeout') &&
      acknowledgedAt === undefined &&
      at + QUESTION_MS + REST_MS > scheduler.elapsed,
  );
}

/** Once nothing fails any more, every request of a client has ended for the client, with an answer or a known reason. */
export const nobodyWaits: Check = function* (world) {
  const { ledger, setting, nodes } = world;
  for (const call of ledger.calls) {
    const isTrimmed = ledger.isTrimmed(call.sessionId, call.endedAt ?? Infinity);
    const open = call.ids.filter((id) => !call.answers.has(id) && !call.cancelled.has(id));
    const what = `${call.client} and its ${open.join()} of ${call.sessionId} on ${call.stream}`;
    const isGone =
      ledger.removedAt.has(call.sessionId) ||
      ledger.goneBetween.some(({ sessionId }) => sessionId === call.sessionId);
    // If a failover has lost the stream, a client that is connected to it sees it end, and a client that comes back gets
    // 400.
    const isLost = ledger.mayHaveLost(call.sessionId, call.at, call.endedAt);
    const mayWait = waitsForListener(world, call) || waitsForLostEnd(world, call);
    if (call.state === 'open' && !mayWait) yield `${what} still wait`;
    if (call.state === 'ended' && open.length > 0 && !isGone && !isLost) {
      // A client without a cursor cannot come back. Its response breaks off if its node was closed before the request was
      // done, or if the log was trimmed before the follower had read the answer.
      const breaksOff = isTrimmed || nodes.some((node) => node.closing);
      if (call.stream !== undefined || !breaksOff)
        yield `${what}: the stream has ended without an answer`;
    }
    if (call.state === 'gone' && !isGone) yield `${what}: 404, and the session is there`;
    if (call.state === 'trimmed' && !isTrimmed && !isLost) yield `${what}: 400`;
    yield* inTime(call, setting.leaseMs);
  }
};

/** How long a client may take to come back and to go on reading. */
const CLIENT_MS = 8000;

/**
 * A node is known to be dead after its lease has run out and two looks. The time that the client needs to come back is
 * added.
 */
function* inTime(call: CallRecord, leaseMs: number): Iterable<string> {
  const lost = [...call.answers.values()].flat().every((answer) => answer.includes('node_'));
  const bound = HORIZON_MS + leaseMs + 2000 + CLIENT_MS;
  if (lost && call.answers.size > 0 && call.endedAt !== undefined && call.endedAt > bound) {
    yield `${call.client} learnt at ${call.endedAt.toFixed()} that the node of ${call.ids.join()} is gone, expected was ${bound}`;
  }
}

/** A stream is claimed only from its executor. Messages of the former executor are not stored on it any more. */
export const fenced: Check = function* ({ ledger }) {
  const owners = new Map<string, string>();
  const claims = ledger.claims.filter(({ lost }) => !lost);
  for (const { sessionId, stream, from, by } of claims) {
    const key = `${sessionId} ${stream}`;
    const owner = owners.get(key);
    // A node that repeats its claim finds itself as the executor.
    if (owner !== undefined && owner !== from && owner !== by && from !== RELEASED) {
      yield `${by} claimed ${stream} of ${sessionId} from ${from}, and it was ${owner}'s`;
    }
    owners.set(key, by);
  }
  for (const { sessionId, stream, from, by, at } of claims) {
    if (from === by) continue;
    for (const entry of ledger.stored) {
      const same = entry.sessionId === sessionId && entry.stream === stream;
      // The former executor may have claimed the stream back.
      const back = claims.some(
        (claim) =>
          claim.sessionId === sessionId &&
          claim.stream === stream &&
          claim.by === from &&
          claim.at > at &&
          claim.at <= entry.at,
      );
      if (same && entry.nodeId === from && entry.at > at && !entry.lost && !back) {
        yield `${stream} of ${sessionId} is ${by}'s since ${at.toFixed()}, and ${from} stored ${entry.n}`;
      }
    }
  }
};

/** Requests and sessions are taken only from nodes that are dead, or that alone were out of touch for long. */
export const livingAreLeft: Check = function* ({ ledger, mayBeFoundDead }) {
  for (const { sessionId, stream, from, by, at } of ledger.claims) {
    if (from === RELEASED || from === by || mayBeFoundDead(from)) continue;
    yield `${by} claimed ${stream} of ${sessionId} at ${at.toFixed()} from ${from}, which lives`;
  }
  for (const { sessionId, from, by, at } of ledger.successions) {
    if (from === by || mayBeFoundDead(from)) continue;
    yield `${by} took ${sessionId} at ${at.toFixed()} from ${from}, which lives`;
  }
};

/** A client gets the answer to its own request, and not to another request with the same id. */
export const answersBelong: Check = function* ({ ledger }) {
  for (const { client, tokens, answers } of ledger.calls) {
    for (const [id, marks] of answers) {
      for (const mark of marks.filter((each) => !each.startsWith('error '))) {
        const [, by] = /^x(\d+)\.answer$/.exec(mark) ?? [];
        const key = ledger.executions[Number(by)]?.key;
        if (key !== tokens.get(id)) {
          yield `${client} was shown ${mark} (${key}) as the answer to ${id} (${tokens.get(id)})`;
        }
      }
    }
  }
};

/** A cancellation that was acknowledged stops the tool, on whichever node it runs. */
export const cancelled: Check = function* (world) {
  const within = world.setting.isQuick ? 300 : ANSWER_MS;
  for (const { sessionId, id, askedAt, acknowledgedAt } of world.ledger.cancellations) {
    const isReused =
      world.ledger.opened.filter((each) => each.sessionId === sessionId && each.id === id).length >
      1;
    for (const execution of world.ledger.executions) {
      if (execution.sessionId !== sessionId || execution.requestId !== id) continue;
      const node = world.nodes.find(({ nodeId }) => nodeId === execution.nodeId);
      // A call that begins at about the same time may not have been running yet when the cancellation came.
      if (node?.process.state === 'dead' || execution.at > acknowledgedAt - 200) continue;
      // This is a later request with the same id.
      if (isReused && execution.at > askedAt) continue;
      const endedAt = execution.endedAt ?? world.scheduler.elapsed;
      // If the wake-up was lost and the log was trimmed, the node cannot find the cancellation.
      if (world.ledger.isTrimmed(sessionId, endedAt)) continue;
      const allowed = within + world.outOfTouchMs(execution.nodeId);
      // A failover may have lost the cancellation, or the request that it names.
      if (world.ledger.mayHaveLost(sessionId, execution.at, acknowledgedAt)) continue;
      if (endedAt - acknowledgedAt > allowed && !world.ledger.removedAt.has(sessionId)) {
        yield `${id} of ${sessionId} was cancelled at ${acknowledgedAt.toFixed()}, and ran on ${execution.nodeId} until ${endedAt.toFixed()}`;
      }
    }
  }
};

/** How long an answer may be on its way when nothing fails any more. This is longer than a subscription can be away. */
const ANSWER_MS = 8000;

/** A request to a client from outside of a call ends. If the client's answer was acknowledged, it ends with that answer. */
export const requestsEnd: Check = function* ({ ledger, nodes }) {
  for (const asked of ledger.requested) {
    const { sessionId, nodeId, mark, at, acknowledgedAt, outcome, endedAt = Infinity } = asked;
    const node = nodes.find((each) => each.nodeId === nodeId);
    if (node?.process.state === 'dead' || node?.closing === true) continue;
    const removedAt = ledger.removedAt.get(sessionId);
    const isGone =
      removedAt !== undefined || ledger.goneBetween.some((gone) => gone.sessionId === sessionId);
    const what = `${mark}, asked of ${sessionId} on ${nodeId} at ${at.toFixed()}`;
    if (outcome === 'waiting') yield `${what}, still waits`;
    else if (outcome.startsWith('answered ')) yield `${what}, was ${outcome}`;
    else if (outcome === 'session_not_found' && !isGone) yield `${what}: there is such a session`;
    const isLost =
      isGone || ledger.mayHaveLost(sessionId, at, endedAt) || ledger.isTrimmed(sessionId, endedAt);
    const isTaken = acknowledgedAt !== undefined && endedAt - acknowledgedAt >= ANSWER_MS;
    if (isTaken && outcome === 'request_timeout' && !isLost) {
      yield `${what}, never got the answer that was taken at ${acknowledgedAt.toFixed()}`;
    }
  }
};

/** An answer that was acknowledged with 202 reaches the handler that asked. */
export const answersArrive: Check = function* ({ ledger, nodes }) {
  for (const { mark, acknowledgedAt, outcome, endedAt, execution } of ledger.questions) {
    if (acknowledgedAt === undefined || outcome === 'answered' || outcome === 'stopped') continue;
    const node = nodes.find(({ nodeId }) => nodeId === execution.nodeId);
    if (
      node?.process.state === 'dead' ||
      node?.left === true ||
      ledger.removedAt.has(execution.sessionId)
    )
      continue;
    if (ledger.mayHaveLost(execution.sessionId, acknowledgedAt - ANSWER_MS, acknowledgedAt))
      continue;
    if (ledger.isTrimmed(execution.sessionId, endedAt ?? Infinity)) continue;
    if (outcome === 'timeout' && (endedAt ?? 0) - acknowledgedAt < ANSWER_MS) continue;
    yield `the answer to ${mark} was taken at ${acknowledgedAt.toFixed()}, and ${execution.nodeId} never got it (${outcome})`;
  }
};
