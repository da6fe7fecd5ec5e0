import type { Membership } from '../backplane/backplane.js';
import { ANY_PRINCIPAL } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import type { EventOptions, Redact } from '../operator/session-events.js';
import { readEvents } from '../operator/session-events.js';
import { jsonLine } from '../operator/export-lines.js';
import { infoOf } from '../replica/session-info.js';
import type { SessionSnapshot } from '../operator/session-snapshot.js';
import { stateAt } from '../operator/session-snapshot.js';
import type { SessionEvent, SessionInfo } from '../options/types.js';
import { unheld, unheldItems } from '../protocol/unheld.js';

/** All sessions of the cluster, for operators: no principal limits it. Every call may reject with `backplane_unavailable`. */
export interface Directory {
  /** `undefined`: no such session. Does not count as use. */
  get(id: string): Promise<SessionInfo | undefined>;
  /** Every session that exists throughout, in no particular order; one that comes or goes meanwhile may be missing. */
  list(options?: { pageSize?: number }): AsyncIterable<SessionInfo>;
  /**
   * The event log as far as it is kept, oldest first, both directions, until its present end; with `follow` on from
   * there. No session of that id: nothing. Throws a `TypeError` for options that make no sense.
   */
  events(id: string, options?: EventOptions): AsyncIterable<SessionEvent>;
  /**
   * The same as JSON Lines: each a JSON text and a newline, with `v` (1, the version of the format), `session` (its id)
   * and the fields of a {@link SessionEvent} that are not `undefined`.
   */
  export(id: string, options?: EventOptions): AsyncIterable<string>;
  /**
   * What the session looked like after the event of this id, or is now, from its log; see {@link SessionSnapshot}.
   * `undefined`: no such session.
   */
  stateAt(id: string, eventId?: string): Promise<SessionSnapshot | undefined>;
  /** Ends a session as the client's DELETE does. `false`: no such session. */
  delete(id: string): Promise<boolean>;
}

const PAGE = 100;

export function directory(
  parts: {
    membership: Pick<Membership, 'load' | 'list' | 'history' | 'remove'>;
    clock: Clock;
    redact: Redact | undefined;
  },
  onDeleted: (sessionId: string) => void,
): Directory {
  const { membership } = parts;
  const list = async function* (pageSize: number) {
    let after: string | undefined;
    do {
      const page = await membership.list(after, pageSize);
      const records = await Promise.all(page.ids.map((id) => membership.load(id)));
      for (const record of records) if (record !== undefined) yield infoOf(record);
      after = page.next;
    } while (after !== undefined);
  };
  return {
    get: (id) =>
      unheld(
        membership.load(id).then((record) => (record === undefined ? undefined : infoOf(record))),
      ),

    list: ({ pageSize = PAGE } = {}) => unheldItems(list(pageSize)),

    events: (id, options = {}) => unheldItems(readEvents(parts, id, options)),

    export(id, options = {}) {
      const events = readEvents(parts, id, options);
      const lines = async function* () {
        for await (const event of events) yield jsonLine(id, event);
      };
      return unheldItems(lines());
    },

    stateAt: (id, eventId) =>
      unheld(
        membership.load(id).then((record) => {
          if (record === undefined) return undefined;
          // What it tells of messages is what `get` tells, too: methods, ids, the level, URIs.
          return stateAt(readEvents({ ...parts, redact: undefined }, id, {}), eventId);
        }),
      ),

    delete: (id) =>
      unheld(
        membership.remove(id, ANY_PRINCIPAL).then((removed) => {
          if (removed) onDeleted(id);
          return removed;
        }),
      ),
  };
}
