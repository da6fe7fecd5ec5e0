import type { SessionRecords } from '../backplane/backplane.js';
import { ANY_PRINCIPAL } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { EventOptions } from './session-events.js';
import { readEvents } from './session-events.js';
import { jsonLine } from './export-lines.js';
import { infoOf } from '../replica/session-info.js';
import type { SessionSnapshot } from './session-snapshot.js';
import { stateAt } from './session-snapshot.js';
import type { Redact, SessionEvent, SessionInfo } from '../options/public-types.js';
import { unheld, unheldItems } from '../protocol/unheld.js';

/** All sessions of the cluster, of all principals, for operators. Every call may reject with `backplane_unavailable`. */
export interface Directory {
  /** Returns the session, or `undefined` if there is none. The call does not count as use of the session. */
  get(id: string): Promise<SessionInfo | undefined>;
  /** Lists every session, in no particular order. A session that begins or ends meanwhile may be missing. */
  list(options?: { pageSize?: number }): AsyncIterable<SessionInfo>;
  /**
   * Reads the events that the log still has, in both directions, oldest first, up to the present end of the log. With
   * `follow` it goes on with new events. If there is no such session, there are no events. It throws a `TypeError` for
   * invalid options.
   */
  events(id: string, options?: EventOptions): AsyncIterable<SessionEvent>;
  /**
   * Reads the same events as JSON Lines. Each line is a JSON text with `v` (1, the version of the format), `session` (the
   * id of the session) and the fields of a `SessionEvent` that are not `undefined`.
   */
  export(id: string, options?: EventOptions): AsyncIterable<string>;
  /**
   * Reconstructs the session from its log as it was after the event `eventId`, or as it is now. It returns `undefined` if
   * there is no such session.
   */
  stateAt(id: string, eventId?: string): Promise<SessionSnapshot | undefined>;
  /** Ends a session as a DELETE of the client does. It returns `false` if there is no such session. */
  delete(id: string): Promise<boolean>;
}

const PAGE = 100;

export function directory(
  parts: {
    backplane: SessionRecords;
    clock: Clock;
    redact: Redact | undefined;
  },
  onDeleted: (sessionId: string) => void,
): Directory {
  const { backplane } = parts;
  const list = async function* (pageSize: number) {
    let after: string | undefined;
    do {
      const page = await backplane.list(after, pageSize);
      const records = await Promise.all(page.ids.map((id) => backplane.load(id)));
      for (const record of records) if (record !== undefined) yield infoOf(record);
      after = page.next;
    } while (after !== undefined);
  };
  return {
    get: (id) =>
      unheld(
        backplane.load(id).then((record) => (record === undefined ? undefined : infoOf(record))),
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
        backplane.load(id).then((record) => {
          if (record === undefined) return undefined;
          // `redact` is not needed: a snapshot has no more of the messages than `get` (methods, ids, the level, URIs).
          return stateAt(readEvents({ ...parts, redact: undefined }, id, {}), eventId);
        }),
      ),

    delete: (id) =>
      unheld(
        backplane.remove(id, ANY_PRINCIPAL).then((removed) => {
          if (removed) onDeleted(id);
          return removed;
        }),
      ),
  };
}
