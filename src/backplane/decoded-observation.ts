import { decodedEntry, decodedRecord } from './encoded.js';
import type { Observation } from './observation.js';
import type { Payloads } from './payloads.js';

/** What is seen of a backplane whose nodes have a codec, decoded as far as it can be: the rest is `unreadable`. */
export function decodedObservation(inner: Observation, payloads: Payloads): Observation {
  return {
    async load(sessionId) {
      const record = await inner.load(sessionId);
      return record && decodedRecord(record, payloads);
    },
    async history(sessionId, after, count) {
      const entries = await inner.history(sessionId, after, count);
      return entries.map((entry) => decodedEntry(entry, sessionId, payloads));
    },
    async sessions(ids) {
      const records = await inner.sessions(ids);
      return records.map((record) => record && decodedRecord(record, payloads));
    },
    async histories(from) {
      const logs = await inner.histories(from);
      return logs.map((entries, at) =>
        entries.map((entry) => decodedEntry(entry, from[at]?.id ?? '', payloads)),
      );
    },
    list: (after, count) => inner.list(after, count),
    remove: (sessionId, principal) => inner.remove(sessionId, principal),
    listed: () => inner.listed(),
    now: () => inner.now(),
    sweep: (from) => inner.sweep(from),
    leases: (nodeIds) => inner.leases(nodeIds),
    tables: (ids) => inner.tables(ids),
    lifetime: (id) => inner.lifetime(id),
    close: () => inner.close(),
  };
}
