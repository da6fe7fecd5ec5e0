/** Checks whether the actions of applications had the effects that the applications were told. */
import type { Ledger } from '../ledger.js';
import type { Check } from './index.js';

/** Each addition to the state that was acknowledged counts, and none counts twice. */
export const counted: Check = function* ({ ledger, backplane }) {
  for (const sessionId of new Set(ledger.counted.map((each) => each.sessionId))) {
    if (ledger.removedAt.has(sessionId) || ledger.mayHaveLost(sessionId, 0)) continue;
    const all = ledger.counted.filter((each) => each.sessionId === sessionId);
    const least = all.filter(({ outcome }) => outcome === 'stored').length;
    const state = Number(backplane.stateOf(sessionId) ?? 0);
    if (state < least || state > all.length) {
      yield `the state of ${sessionId} is ${state}, and was stepped up ${least} times, and ${all.length - least} times perhaps`;
    }
  }
};

/**
 * A change that was announced reaches each session that should hear of it: by a message of its own, or by an earlier
 * message that was not shown yet.
 */
export const announced: Check = function* ({ ledger }) {
  for (const { at, acknowledgedAt, uri } of ledger.broadcasts) {
    if (acknowledgedAt === undefined) continue;
    const method = uri === undefined ? 'tools/list_changed' : 'resources/updated';
    for (const [sessionId, bornAt] of ledger.bornAt) {
      if (hearsFrom(ledger, sessionId, bornAt) > at || ledger.removedAt.has(sessionId)) continue;
      if (ledger.mayHaveLost(sessionId, 0, acknowledgedAt)) continue;
      if (uri !== undefined && !isSubscribed(ledger, { sessionId, uri, at, acknowledgedAt }))
        continue;
      const isTold = ledger.stored.some(
        (entry) =>
          entry.sessionId === sessionId &&
          entry.message?.includes(`notifications/${method}`) === true &&
          (uri === undefined || entry.message.includes(`"${uri}"`)) &&
          entry.at <= acknowledgedAt &&
          (entry.at >= at ||
            ((entry.trimmedAt ?? Infinity) >= at &&
              !ledger.written.some((each) => each.place.id === entry.id && each.at < at)) ||
            // The client may have been shown it only after the change, because it read its connection late.
            ledger.showings.some(({ shown }) =>
              shown.some((each) => each.id === entry.id && each.at >= at),
            )),
      );
      if (!isTold)
        yield `${sessionId} was not told of ${uri ?? 'the tools'}, changed at ${at.toFixed()}`;
    }
  }
  for (const { sessionId, message, at, stream, n } of ledger.stored) {
    if (message?.includes('notifications/resources/updated') !== true) continue;
    const { uri } = (JSON.parse(message) as { params: { uri: string } }).params;
    const asked = ledger.calls.some(
      ({ change, ...call }) =>
        call.sessionId === sessionId &&
        change?.name === uri &&
        change.value === 'on' &&
        call.at < at,
    );
    if (!asked)
      yield `${stream} ${n} of ${sessionId} is about ${uri}, which its client never subscribed to`;
  }
};

/**
 * Returns from when on the session gets announcements. A session of HTTP+SSE exists before its server has answered
 * `initialize`, and that answer says what the server announces.
 */
function hearsFrom(ledger: Ledger, sessionId: string, bornAt: number): number {
  if (ledger.principals.get(sessionId)?.startsWith('sse:') !== true) return bornAt;
  const answer = ledger.stored.find(
    (entry) => entry.sessionId === sessionId && entry.message?.includes('"serverInfo"') === true,
  );
  return answer?.at ?? Infinity;
}

/** Whether the client has only subscribed to the resource before, and each subscription was acknowledged. */
function isSubscribed(
  ledger: Ledger,
  about: { sessionId: string; uri: string; at: number; acknowledgedAt: number },
): boolean {
  const changes = ledger.calls.filter(
    ({ sessionId, change, at }) =>
      sessionId === about.sessionId && change?.name === about.uri && at < about.acknowledgedAt,
  );
  return (
    changes.length > 0 &&
    changes.every(
      ({ change, state, endedAt = Infinity, answers, cancelled }) =>
        change?.value === 'on' &&
        state === 'answered' &&
        endedAt < about.at &&
        cancelled.size === 0 &&
        [...answers.values()].flat().every((mark) => mark === 'empty'),
    )
  );
}
