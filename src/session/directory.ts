import type { Membership } from '../backplane/backplane.js';
import { ANY_PRINCIPAL, LOG_START } from '../backplane/backplane.js';
import { eventOf, infoOf } from './info.js';
import type { SessionEvent, SessionInfo } from './types.js';

/** All sessions of the cluster, for operators: no principal limits it. Every call may reject with `backplane_unavailable`. */
export interface Directory {
  /** `undefined`: no such session. Does not count as use. */
  get(id: string): Promise<SessionInfo | undefined>;
  /** Every session that exists throughout, in no particular order; one that comes or goes meanwhile may be missing. */
  list(options?: { pageSize?: number }): AsyncIterable<SessionInfo>;
  /** The event log as far as it is kept, oldest first, both directions, until its present end. */
  events(id: string, options?: { after?: string; limit?: number }): AsyncIterable<SessionEvent>;
  /** Ends a session as the client's DELETE does. `false`: no such session. */
  delete(id: string): Promise<boolean>;
}

const PAGE = 100;

export function directory(
  membership: Pick<Membership, 'load' | 'list' | 'history' | 'remove'>,
  onDeleted: (sessionId: string) => void,
): Directory {
  return {
    async get(id) {
      const record = await membership.load(id);
      return record === undefined ? undefined : infoOf(record);
    },

    async *list({ pageSize = PAGE } = {}) {
      let after: string | undefined;
      do {
        const page = await membership.list(after, pageSize);
        const records = await Promise.all(page.ids.map((id) => membership.load(id)));
        for (const record of records) if (record !== undefined) yield infoOf(record);
        after = page.next;
      } while (after !== undefined);
    },

    async *events(id, { after = LOG_START, limit = Number.POSITIVE_INFINITY } = {}) {
      let from = after;
      for (let left = limit; left > 0;) {
        const entries = await membership.history(id, from, Math.min(left, PAGE));
        for (const entry of entries) yield eventOf(entry);
        const last = entries.at(-1);
        if (last === undefined || entries.length < PAGE) return;
        from = last.logId;
        left -= entries.length;
      }
    },

    async delete(id) {
      const removed = await membership.remove(id, ANY_PRINCIPAL);
      if (removed) onDeleted(id);
      return removed;
    },
  };
}
