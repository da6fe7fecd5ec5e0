/** Checks HTTP statuses, and when sessions exist. */
import type { Asked, CallRecord } from '../records.js';
import type { World } from '../world.js';
import type { Check } from './index.js';
import { isLimited, isTooMany } from './limits.js';

function about({ client, what, sessionId, at, status }: Asked): string {
  return `${client}'s ${what} of ${sessionId} at ${at.toFixed()} got ${status}`;
}

/** Whether there was no response, or a refusal for the moment. `statuses` checks whether a 429 is allowed. */
function isNoAnswer({ status }: Asked): boolean {
  return status === undefined || status === 'cut' || status === 503 || status === 429;
}

/** After DELETE was answered, or after the session has expired, no node serves it. */
export const endedEverywhere: Check = function* (world) {
  const { ledger, clients } = world;
  for (const asked of ledger.asked) {
    const { sessionId = '' } = asked;
    const deletedAt = ledger.deletedAt.get(sessionId) ?? ledger.expiredAt.get(sessionId);
    if (deletedAt === undefined || asked.at < deletedAt || isNoAnswer(asked)) continue;
    if (isTooMany(world, asked)) continue; // the batch is refused before the session is looked up
    // A failover may have lost the end of the session, perhaps before its client was told.
    if (ledger.goneBetween.some(({ sessionId }) => sessionId === asked.sessionId)) continue;
    if (asked.status !== 404)
      yield `${about(asked)}, expected was 404: gone since ${deletedAt.toFixed()}`;
  }
  for (const client of clients) {
    const isOver = client.over && ledger.deletedAt.has(client.sessionId ?? '');
    if (isOver && client.listening?.isOpen === true) {
      yield `${client.sessionId} is deleted, and ${client.listening.name} still open`;
    }
  }
};

/** For callers that are not its principal, a session does not exist. */
export const strangers: Check = function* ({ ledger }) {
  for (const asked of ledger.asked) {
    if (asked.expected === undefined || isNoAnswer(asked)) continue;
    if (asked.status !== asked.expected) yield `${about(asked)}, expected was ${asked.expected}`;
  }
};

/**
 * Requests of known sessions are served, and those of unknown sessions get 404. While the backplane cannot be reached,
 * requests get 503 with `Retry-After`. All responses come soon.
 */
export const statuses: Check = function* (world) {
  const { ledger, setting, paused } = world;
  const within = 3 * setting.commandTimeoutMs + 4 * setting.httpMs + 2000;
  for (const asked of ledger.asked) {
    const { status, retryAfter, answeredAt, at } = asked;
    const isLater = status === 503 || status === 429;
    if (isLater && retryAfter === undefined) yield `${about(asked)} without Retry-After`;
    if (asked.expected === undefined && !allowed(world, asked)) yield about(asked);
    // In JSON mode, such a response waits for the answer, which the successor of a dead owner may give.
    const isLong = /^(call|reuse|task.*)$/.test(asked.what) || setting.affinity === 'owner';
    if (paused || (setting.responseMode === 'json' && asked.method === 'POST' && isLong)) continue;
    // A client that does not read its connection for a while sees the response late. So only the time until the node begins
    // the response counts.
    const until = asked.exchange?.headAt ?? answeredAt ?? Math.max(world.scheduler.elapsed, at);
    // A JSON response to `setLevel` also waits for its answer. If an outage begins after the request was stored, for
    // instance while the factory is at work, the node can store the answer only after the outage.
    const waits = setting.responseMode === 'json' && ['setLevel', 'subscribe'].includes(asked.what);
    const bound = within + (waits ? ledger.outageMs(asked.slot, at, until) : 0);
    if (until - at > bound) {
      yield `${about(asked)} after ${(until - at).toFixed()} ms, expected were ${bound.toFixed()}`;
    }
  }
};

/** Whether another request had the same id at some time while this request was under way. */
function isInUse({ ledger }: World, { sessionId = '', messages, at, answeredAt = 0 }: Asked) {
  const [{ id, params }] = messages as [
    { id: number; params: { _meta: { progressToken: string } } },
  ];
  const own = ledger.streams.get(`${sessionId} ${params._meta.progressToken}`);
  return (
    ledger.mayHaveLost(sessionId, 0, answeredAt) ||
    ledger.opened.some(
      (each) =>
        each.sessionId === sessionId &&
        each.id === JSON.stringify(id) &&
        each.stream !== own &&
        each.at <= answeredAt &&
        (each.endedAt ?? Infinity) >= at,
    )
  );
}

function allowed(world: World, asked: Asked): boolean {
  const { ledger, setting } = world;
  const { status, method, what, sessionId = '', answeredAt = 0 } = asked;
  if (status === 429) {
    // If the reply to a refusal was lost and the id is free by then, the repeat does not know the reason, and the client
    // gets 429.
    const isFree = what === 'reuse' && isInUse(world, asked);
    return isLimited(world, asked) || wasCancelled(world, asked) || isFree;
  }
  if (isNoAnswer(asked)) return true;
  const removedAt = ledger.removedAt.get(sessionId);
  if (status === 404) {
    const wasGone = ledger.goneBetween.some(
      (gone) => gone.sessionId === sessionId && gone.from <= answeredAt && asked.at <= gone.to,
    );
    // A failover may lose a session of HTTP+SSE while its connection is being opened.
    const isLost = asked.isLegacy && method === 'GET';
    if (isLost && ledger.losses.some((loss) => loss.at >= asked.at && loss.at <= answeredAt)) {
      return true;
    }
    return wasGone || (removedAt !== undefined && removedAt <= answeredAt);
  }
  if (method === 'DELETE') return status === 200;
  if (isTooMany(world, asked)) return status === 400;
  if (status === 400 && what === 'reuse') return isInUse(world, asked);
  if (method === 'POST' && asked.isLegacy) return status === 202;
  if (method === 'POST') return status === (asked.messages.some(isRequest) ? 200 : 202);
  if (status === 204) return what.startsWith('resume');
  if (status === 409) {
    return setting.standaloneStream === 'reject' && (what === 'listen' || what === 'probe');
  }
  if (status === 400)
    return (
      (asked.cursor !== undefined && ledger.isTrimmed(sessionId, answeredAt, asked.cursor)) ||
      ledger.mayHaveLost(sessionId, 0, answeredAt)
    );
  return status === 200;
}

/**
 * Whether the first try opened the call and lost its reply, and the call was cancelled before the owner began it. The
 * second try then finds no such call.
 */
function wasCancelled({ ledger, setting }: World, { client, at }: Asked): boolean {
  return (
    setting.affinity === 'owner' &&
    ledger.calls.some((call) => call.cancelled.size > 0 && call.at === at && call.client === client)
  );
}

function isRequest(message: object): boolean {
  return 'id' in message && 'method' in message;
}

/** A message is acknowledged only if it was stored. */
export const acknowledgedIsStored: Check = function* ({ ledger }) {
  for (const asked of ledger.asked) {
    const { method, status, sessionId, messages } = asked;
    if (method !== 'POST' || typeof status !== 'number' || status >= 300) continue;
    if (sessionId === undefined) continue; // this is `initialize`, whose answer names the session
    const texts = ledger.received.get(sessionId);
    for (const message of messages) {
      if (texts?.has(JSON.stringify(message)) !== true) {
        yield `${about(asked)}, and ${JSON.stringify(message)} is not stored`;
      }
    }
  }
};

/** Whether the client got an error, so that it does not know whether the change was carried out. */
function endedWithError({ answers }: CallRecord): boolean {
  return [...answers.values()].flat().some((mark) => mark.startsWith('error '));
}

/** A change of the shape that was acknowledged holds on every node, from the client's next request on. */
export const remembered: Check = function* ({ ledger }) {
  const isLost = ({ sessionId, at, endedAt }: CallRecord): boolean =>
    ledger.mayHaveLost(sessionId, at, endedAt);
  /** A failover may have lost the change, and another change was stored since. */
  const isOver = (change: CallRecord, sure: CallRecord[]): boolean =>
    ledger.losses.some(
      ({ sessionId, at }) =>
        sessionId === change.sessionId &&
        (change.endedAt ?? Infinity) < at &&
        sure.some((other) => other.at > at),
    );
  const names = new Set(ledger.calls.map(({ change }) => change?.name ?? 'level'));
  for (const call of ledger.calls) {
    for (const [id, found] of call.found) {
      for (const name of names) {
        const changes = ledger.calls.filter(
          (other) => other.sessionId === call.sessionId && other.change?.name === name,
        );
        const sure = changes.filter(
          (other) =>
            other.state === 'answered' &&
            !endedWithError(other) &&
            other.cancelled.size === 0 &&
            (other.endedAt ?? Infinity) < call.at &&
            !isLost(other),
        );
        // Leave out changes that a later one has replaced: one that began after they were acknowledged.
        const last = sure.filter(
          (one) => !sure.some((other) => other.at > (one.endedAt ?? Infinity)),
        );
        const open = changes.filter(
          (other) =>
            !sure.includes(other) && other.at < (call.endedAt ?? Infinity) && !isOver(other, sure),
        );
        const unchanged = name === 'level' ? 'none' : 'off';
        const may = [...last, ...open].map(({ change }) => change?.value);
        if (last.length === 0) may.push(unchanged);
        const value = found.get(name) ?? unchanged;
        if (!may.includes(value)) {
          yield `${call.client}'s ${id} ran with ${name} ${value}, expected was ${may.join(' or ')}`;
        }
      }
    }
  }
};

/** A session expires only after `sessionTtlMs` without use: no request, no open stream, no running call. */
export const expiresIdle: Check = function* ({ ledger, setting }) {
  for (const [sessionId, expiredAt] of ledger.expiredAt) {
    if (ledger.mayHaveLost(sessionId, 0)) continue;
    const idleFrom = expiredAt - setting.sessionTtlMs;
    // A request that gets 204, because the stream has ended, does not count as use.
    const asked = ledger.asked.filter(
      ({ status, method, ...each }) =>
        each.sessionId === sessionId && method !== 'DELETE' && (status === 200 || status === 202),
    );
    for (const each of asked) {
      if (each.at > idleFrom) yield `${about(each)}, and it expired at ${expiredAt.toFixed()}`;
      // The refresh of a session in use is a step, which may fail in runs with faults.
      const { headAt = Infinity, closedAt = Infinity, name = '' } = each.exchange ?? {};
      if (setting.isQuick && headAt < idleFrom && closedAt > expiredAt) {
        yield `${sessionId} expired at ${expiredAt.toFixed()}, and ${name} was open from ${headAt.toFixed()} on`;
      }
    }
    for (const { id, at, endedAt = Infinity, ...execution } of ledger.executions) {
      const isIts = execution.sessionId === sessionId && setting.isQuick;
      if (isIts && at < idleFrom && endedAt > expiredAt) {
        yield `${sessionId} expired at ${expiredAt.toFixed()}, and x${id} ran from ${at.toFixed()} on`;
      }
    }
  }
};
