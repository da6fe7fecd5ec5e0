/** What HTTP said, and what sessions are. */
import type { Asked, CallRecord } from '../records.js';
import type { World } from '../world.js';
import type { Check } from './index.js';
import { isLimited, isTooMany } from './limits.js';

function about({ client, what, sessionId, at, status }: Asked): string {
  return `${client}'s ${what} of ${sessionId} at ${at.toFixed()} got ${status}`;
}

/** Nothing, or a refusal that says "not now"; whether it may be 429, `statuses` looks at. */
function isNoAnswer({ status }: Asked): boolean {
  return status === undefined || status === 'cut' || status === 503 || status === 429;
}

/** After DELETE was answered, or when it has expired, the session is served nowhere. */
export const endedEverywhere: Check = function* (world) {
  const { ledger, clients } = world;
  for (const asked of ledger.asked) {
    const { sessionId = '' } = asked;
    const deletedAt = ledger.deletedAt.get(sessionId) ?? ledger.expiredAt.get(sessionId);
    if (deletedAt === undefined || asked.at < deletedAt || isNoAnswer(asked)) continue;
    if (isTooMany(world, asked)) continue; // refused before the session is looked for
    // Lost again, perhaps before its client was told.
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

/** To others a session does not exist. */
export const strangers: Check = function* ({ ledger }) {
  for (const asked of ledger.asked) {
    if (asked.expected === undefined || isNoAnswer(asked)) continue;
    if (asked.status !== asked.expected) yield `${about(asked)}, expected was ${asked.expected}`;
  }
};

/** Known: served; unknown: 404; unreachable: 503 with `Retry-After`. All of it soon. */
export const statuses: Check = function* (world) {
  const { ledger, setting, paused } = world;
  const within = 3 * setting.commandTimeoutMs + 4 * setting.httpMs + 2000;
  for (const asked of ledger.asked) {
    const { status, retryAfter, answeredAt, at } = asked;
    const isLater = status === 503 || status === 429;
    if (isLater && retryAfter === undefined) yield `${about(asked)} without Retry-After`;
    if (asked.expected === undefined && !allowed(world, asked)) yield about(asked);
    // Such a response waits for the answer, which a dead owner's successor gives.
    const isLong = /^(call|reuse|task.*)$/.test(asked.what) || setting.affinity === 'owner';
    if (paused || (setting.responseMode === 'json' && asked.method === 'POST' && isLong)) continue;
    // A client that does not read its connection for a while sees the response late: the time of the node ends when it begins it.
    const until = asked.exchange?.headAt ?? answeredAt ?? Math.max(world.scheduler.elapsed, at);
    // A JSON response to `setLevel` waits for its answer too. Where an outage begins after the request is stored (while the
    // factory is still at work, for instance), the node can only store the answer once the outage has ended.
    const waits = setting.responseMode === 'json' && ['setLevel', 'subscribe'].includes(asked.what);
    const bound = within + (waits ? ledger.outageMs(asked.slot, at, until) : 0);
    if (until - at > bound) {
      yield `${about(asked)} after ${(until - at).toFixed()} ms, expected were ${bound.toFixed()}`;
    }
  }
};

/** Whether another request has the id of the one that was asked, at some time while it was being asked. */
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
    // Of a refusal whose reply was lost, the repeat does not know the reason where the id is free by then: come again, it says.
    const isFree = what === 'reuse' && isInUse(world, asked);
    return isLimited(world, asked) || wasCancelled(world, asked) || isFree;
  }
  if (isNoAnswer(asked)) return true;
  const removedAt = ledger.removedAt.get(sessionId);
  if (status === 404) {
    const wasGone = ledger.goneBetween.some(
      (gone) => gone.sessionId === sessionId && gone.from <= answeredAt && asked.at <= gone.to,
    );
    // A session of HTTP+SSE whose connection is just being opened.
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

/** Opened by a try whose reply was lost, and cancelled before its owner began it: for the second try there is no such call. */
function wasCancelled({ ledger, setting }: World, { client, at }: Asked): boolean {
  return (
    setting.affinity === 'owner' &&
    ledger.calls.some((call) => call.cancelled.size > 0 && call.at === at && call.client === client)
  );
}

function isRequest(message: object): boolean {
  return 'id' in message && 'method' in message;
}

/** Nothing is acknowledged unless it is stored. */
export const acknowledgedIsStored: Check = function* ({ ledger }) {
  for (const asked of ledger.asked) {
    const { method, status, sessionId, messages } = asked;
    if (method !== 'POST' || typeof status !== 'number' || status >= 300) continue;
    if (sessionId === undefined) continue; // `initialize`: the answer names the session
    const texts = ledger.received.get(sessionId);
    for (const message of messages) {
      if (texts?.has(JSON.stringify(message)) !== true) {
        yield `${about(asked)}, and ${JSON.stringify(message)} is not stored`;
      }
    }
  }
};

/** It may have been carried out, or not: its client was told neither. */
function endedWithError({ answers }: CallRecord): boolean {
  return [...answers.values()].flat().some((mark) => mark.startsWith('error '));
}

/** What a client was told that its session remembers holds on every node, from its next request on. */
export const remembered: Check = function* ({ ledger }) {
  const isLost = ({ sessionId, at, endedAt }: CallRecord): boolean =>
    ledger.mayHaveLost(sessionId, at, endedAt);
  /** The backplane has lost it, or may have, and has taken another one since. */
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
        // Superseded by one that began after this one had been acknowledged.
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

/** A session expires when nobody has used it for as long as the option says: no request, no open stream, no running call. */
export const expiresIdle: Check = function* ({ ledger, setting }) {
  for (const [sessionId, expiredAt] of ledger.expiredAt) {
    if (ledger.mayHaveLost(sessionId, 0)) continue;
    const idleFrom = expiredAt - setting.sessionTtlMs;
    // 204 says that a stream is over: to ask for such a stream is no use of the session.
    const asked = ledger.asked.filter(
      ({ status, method, ...each }) =>
        each.sessionId === sessionId && method !== 'DELETE' && (status === 200 || status === 202),
    );
    for (const each of asked) {
      if (each.at > idleFrom) yield `${about(each)}, and it expired at ${expiredAt.toFixed()}`;
      // To say that it is in use is a step of its own, which may fail where anything does.
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
