/** What applications were told of what they have done. */
import type { Check } from './index.js';

/** Each step up of the state that was acknowledged counts, and none counts twice. */
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

/** A change that was announced to all reaches each session: by a message of its own, or by one that was not shown yet. */
export const announced: Check = function* ({ ledger }) {
  for (const { at, acknowledgedAt } of ledger.broadcasts) {
    if (acknowledgedAt === undefined) continue;
    for (const [sessionId, bornAt] of ledger.bornAt) {
      if (bornAt > at || ledger.removedAt.has(sessionId)) continue;
      if (ledger.mayHaveLost(sessionId, 0, acknowledgedAt)) continue;
      const isTold = ledger.stored.some(
        (entry) =>
          entry.sessionId === sessionId &&
          entry.message?.includes('notifications/tools/list_changed') === true &&
          entry.at <= acknowledgedAt &&
          (entry.at >= at ||
            ((entry.trimmedAt ?? Infinity) >= at &&
              !ledger.written.some((each) => each.place.id === entry.id && each.at < at))),
      );
      if (!isTold)
        yield `${sessionId} was not told of the tools that had changed at ${at.toFixed()}`;
    }
  }
};
