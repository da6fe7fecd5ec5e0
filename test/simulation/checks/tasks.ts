/** Checks tasks, their queues, and the answers of clients that ask for them. */
import { isTerminal } from '../../../src/backplane/sdk-store-access.js';
import { HORIZON_MS } from '../plan.js';
import type { CallRecord } from '../records.js';
import type { SimTask, TaskAsk } from '../task-ledger.js';
import type { World } from '../world.js';
import type { Check } from './index.js';

/**
 * A task ends once, and does not change after that. Another node lets it fail only if the task's node may be taken for
 * dead.
 */
export const tasksEndOnce: Check = function* ({ ledger: { tasks }, mayBeFoundDead }) {
  for (const { name, at, changes, executor } of tasks.tasks.values()) {
    const failed = changes.find(({ status }) => status === 'failed');
    if (failed !== undefined && failed.nodeId !== executor && !mayBeFoundDead(executor)) {
      yield `${failed.nodeId} let ${name} fail, whose node ${executor} lives`;
    }
    if (tasks.mayHaveLost(at)) continue;
    const end = changes.findIndex(({ status }) => isTerminal(status));
    const after = end < 0 ? [] : changes.slice(end + 1);
    for (const { status, nodeId } of after) {
      yield `${name} was ${changes[end]?.status}, and ${nodeId} made it ${status}`;
    }
  }
};

/** Returns the result that `tasks/result` has to return for a task that has ended. */
function resultOf({ changes }: SimTask): string | undefined {
  const end = changes.find(({ status }) => isTerminal(status));
  return end?.status === 'cancelled' ? CANCELLED : end?.result;
}

const CANCELLED = 'error with no result';

function toldResult({ result }: TaskAsk): string | undefined {
  if (result === undefined || !result.startsWith('error')) return result;
  return result.includes('has no result stored') ? CANCELLED : undefined;
}

/** Returns when the task does not exist any more. If the clock of the backplane goes ahead, this may be sooner. */
function overAt({ at, ttlMs, changes }: SimTask, by = Infinity): number {
  const end = changes.find((change) => isTerminal(change.status) && change.at <= by);
  return (end?.at ?? at) + ttlMs;
}

/**
 * Whether a request for a result waits for a task whose end the backplane has lost: the task goes on until its time is over or
 * its node ends. A clock that went back prolongs that time, beyond the end of the run if it went back far.
 */
export function waitsForLostEnd(
  { ledger: { tasks, clockBackMs }, nodes, scheduler }: World,
  record: CallRecord,
): boolean {
  const ask = tasks.asks.find((each) => each.record === record && each.what === 'result');
  const task = tasks.tasks.get(ask?.taskId ?? '');
  if (task === undefined || overAt(task) + clockBackMs <= scheduler.elapsed) return false;
  const ends = task.changes.filter(({ status }) => isTerminal(status));
  const isLost = ends.length > 0 && ends.every(({ at }) => tasks.mayHaveLost(at, at));
  const node = nodes.find(({ nodeId }) => nodeId === task.executor);
  return isLost && node?.leftAt === undefined;
}

/** Clients are told the status that the task has at that time, and all of them get the same result. */
export const tasksAreTold: Check = function* ({ ledger: { tasks, clockWentAheadAt } }) {
  for (const ask of tasks.asks) {
    const task = tasks.tasks.get(ask.taskId);
    const { client, what, at, endedAt } = ask;
    if (task === undefined || endedAt === undefined || tasks.mayHaveLost(task.at)) continue;
    const about = `${client} asked for ${task.name} (${what}) at ${at.toFixed()}`;
    const result = toldResult(ask);
    if (what === 'result' && result !== undefined && result !== resultOf(task)) {
      yield `${about}, and was told "${result}", expected was "${resultOf(task)}"`;
    }
    if (ask.status !== undefined) {
      const before = task.changes.findLast((change) => change.at <= at)?.status ?? 'working';
      const since = task.changes.filter((change) => change.at > at && change.at <= endedAt);
      const may: string[] = [before, ...since.map(({ status }) => status)];
      if (!may.includes(ask.status)) {
        yield `${about}, and was told that it is ${ask.status}, expected was ${may.join(' or ')}`;
      }
    }
    if (ask.result?.includes('not found') === true && endedAt < clockWentAheadAt) {
      // A clock that went back later may have brought back a task whose time was over, and the task may have ended only then.
      const until = overAt(task, endedAt);
      if (endedAt < until)
        yield `${about}, and was told that there is none before ${until.toFixed()}`;
    }
  }
};

/** A client that waits for a result hears of the end of the task within the poll interval, also if its node is dead. */
export const tasksAreAnswered: Check = function* (world) {
  const { ledger, setting, nodes } = world;
  const { tasks } = ledger;
  for (const ask of tasks.asks) {
    const task = tasks.tasks.get(ask.taskId);
    if (task === undefined || ask.what !== 'result' || ask.record?.state !== 'answered') continue;
    const { endedAt = Infinity, at, client } = ask;
    const about = `${client} asked for ${task.name} at ${at.toFixed()}`;
    const end = task.changes.find(({ status }) => isTerminal(status));
    const diedAt = nodes.find(({ nodeId }) => nodeId === task.executor)?.leftAt;
    const underWay = 8 * (setting.httpMs + setting.backplaneMs + setting.busMs) + setting.returnMs;
    const slack = task.pollIntervalMs + underWay;
    const isOrphan = diedAt !== undefined && (end?.at ?? Infinity) > diedAt;
    const from = Math.max(diedAt ?? 0, at, HORIZON_MS) + setting.leaseMs / 2;
    const bound = from + 2 * setting.leaseMs + 1000 + slack + READING_MS;
    if (isOrphan && endedAt > bound) {
      yield `${about}, whose node left at ${diedAt.toFixed()}, and heard at ${endedAt.toFixed()} of its end`;
    }
    if (!setting.isQuick || end === undefined || ask.result?.startsWith('error') === true) continue;
    const backAt = ask.record.comesBackLate === true ? HORIZON_MS : 0;
    if (endedAt > Math.max(end.at, at, backAt) + slack + READING_MS) {
      yield `${about}, which ended at ${end.at.toFixed()}, and heard of it at ${endedAt.toFixed()}`;
    }
  }
};

/** How long a client may take to go on reading, or to come back. */
const READING_MS = 4500;

/** At the end of the run, each task has ended for its client in some way. */
export const tasksEnd: Check = function* ({ ledger: { tasks, ...ledger }, clients }) {
  for (const client of clients) {
    if (client.over) continue;
    const last = new Map<string, TaskAsk>();
    for (const ask of tasks.asks) {
      const isOwn = ask.client === client.options.name && ask.what === 'result';
      if (isOwn && ask.at >= HORIZON_MS) last.set(ask.taskId, ask);
    }
    for (const { taskId, result, record, at } of last.values()) {
      if (record?.state !== 'answered' || ledger.removedAt.has(record.sessionId)) continue;
      const isKnown = ['is done', 'of a dead node', 'has no result stored', 'not found'];
      if (isKnown.some((text) => result?.includes(text) === true)) continue;
      yield `${client.options.name} asked for ${tasks.nameOf(taskId)} at ${at.toFixed()}, and got "${result}"`;
    }
  }
};

/** A queued message is taken out once, and before the queue is found empty. If it was sent, it is stored. */
export const queues: Check = function* ({ ledger, setting, nodes }) {
  const { tasks } = ledger;
  for (const task of tasks.tasks.values()) {
    if (tasks.mayHaveLost(task.at)) continue;
    for (const { mark, at, taken, sent, outcome } of task.messages) {
      const [first, second] = taken;
      if (second !== undefined) {
        yield `${mark} was taken out of its queue by ${first?.nodeId} and by ${second.nodeId}`;
      }
      // The queue ends with its task. The backplane counts whole milliseconds.
      const goneAt = Math.min(Math.floor(task.at) + task.ttlMs, ledger.clockWentAheadAt);
      const empty = task.foundEmpty.find((each) => each > at && each < goneAt);
      if (empty !== undefined && (first?.at ?? Infinity) > empty) {
        yield `${mark} was queued at ${at.toFixed()}, and the queue was empty at ${empty.toFixed()}`;
      }
      const { sessionId = '' } = task;
      const isUnsent = sent !== 'stored' && sent !== 'unknown';
      const isLost = first !== undefined && !first.all && isUnsent;
      // A message that was taken out just before the client deleted the session is lost with the session.
      const removedAt = ledger.removedAt.get(sessionId) ?? Infinity;
      const isDeleted = isLost && removedAt < first.at + slackOf(setting);
      if (
        setting.isQuick &&
        outcome === 'acknowledged' &&
        isLost &&
        !isDeleted &&
        !isGivenUp(ledger.calls, task)
      ) {
        yield `${mark} was taken out of its queue at ${first.at.toFixed()}, and not sent (${sent})`;
      }
      if (!setting.isQuick || sent !== 'stored' || isGivenUp(ledger.calls, task)) continue;
      if (ledger.removedAt.has(sessionId)) continue;
      const isStored = ledger.stored.some(({ message }) => message?.includes(`"mark":"${mark}"`));
      const node = nodes.find(({ nodeId }) => nodeId === first?.nodeId);
      if (!isStored && node?.process.state === 'running' && !ledger.mayHaveLost(sessionId, at)) {
        yield `${mark} was sent to ${sessionId}, and is not stored`;
      }
    }
  }
};

/** Whether the client has cancelled a request of this session. A message that was taken out for that request may be lost. */
function isGivenUp(calls: World['ledger']['calls'], { sessionId }: SimTask): boolean {
  return calls.some((call) => call.sessionId === sessionId && call.cancelled.size > 0);
}

/** Returns how long a message may be under way when nothing fails. */
function slackOf({ httpMs, backplaneMs, busMs }: World['setting']): number {
  return 8 * (httpMs + backplaneMs + busMs) + 200;
}

/** When nothing fails, a client that waits for the result gets a message of any node within the poll interval. */
export const queuesAreRead: Check = function* ({ ledger, setting, scheduler }) {
  if (!setting.isQuick) return;
  const { tasks } = ledger;
  const slack = slackOf(setting);
  for (const ask of tasks.asks) {
    const task = tasks.tasks.get(ask.taskId);
    if (task === undefined || ask.what !== 'result' || ask.record?.status !== 200) continue;
    const within = slack + task.pollIntervalMs;
    const { cancelled, endedAt, sessionId } = ask.record;
    const removedAt = ledger.removedAt.get(sessionId) ?? Infinity;
    // A message that is queued after the task has expired is not taken out, and the client is told next that there is no
    // such task. A request for the result does not wait after the end of the task either, although its client may be away
    // and hear of the end later.
    const doneAt = task.changes.find(({ status }) => isTerminal(status))?.at ?? Infinity;
    const over = Math.min(overAt(task), doneAt);
    const waitsUntil = Math.min(endedAt ?? scheduler.elapsed, removedAt, over);
    const until = cancelled.size > 0 ? 0 : waitsUntil;
    for (const { mark, at, taken } of task.messages) {
      if (at < ask.at + slack || at + within > until) continue;
      const takenAt = taken[0]?.at ?? Infinity;
      if (takenAt > at + within) {
        yield `${mark} was queued at ${at.toFixed()}, while ${ask.client} waited since ${ask.at.toFixed()}, and taken at ${takenAt.toFixed()}`;
      }
    }
  }
};
