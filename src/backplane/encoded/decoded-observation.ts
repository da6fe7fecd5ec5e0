/** Decodes what an observer with the codec reads. */
import type { SessionRecord } from '../backplane.js';
import { decodedOutboxes } from './decoded-outboxes.js';
import { decodedEntries, decodedRecord } from './decoded-sessions.js';
import { LogTexts } from './log-texts.js';
import type { Observation } from '../observation.js';
import type { Payloads } from './payloads.js';
import { checkSeal } from './seals.js';

/** Returns an observation of a backplane whose nodes have a codec. Texts that cannot be decoded are `unreadable`. */
export function decodedObservation(inner: Observation, payloads: Payloads): Observation {
  const texts = new LogTexts(payloads);
  return {
    async load(sessionId) {
      const record = await inner.load(sessionId);
      return record && observedRecord(record, payloads);
    },
    async history(sessionId, after, count) {
      const entries = await inner.history(sessionId, after, count);
      return decodedEntries(entries, sessionId, texts);
    },
    async sessions(ids) {
      const records = await inner.sessions(ids);
      return records.map((record) => record && observedRecord(record, payloads));
    },
    async histories(from) {
      const logs = await inner.histories(from);
      return logs.map((entries, at) => decodedEntries(entries, from[at]?.id ?? '', texts));
    },
    async historyBefore(sessionId, before, count) {
      const entries = await inner.historyBefore(sessionId, before, count);
      return decodedEntries(entries, sessionId, texts);
    },
    list: (after, count) => inner.list(after, count),
    remove: (sessionId, principal) => inner.remove(sessionId, principal),
    listed: () => inner.listed(),
    now: () => inner.now(),
    sweep: (from) => inner.sweep(from),
    leases: (nodeIds) => inner.leases(nodeIds),
    tables: (ids) => inner.tables(ids),
    lifetime: (id) => inner.lifetime(id),
    servers: () => inner.servers(),
    audit: decodedOutboxes(inner.audit, payloads),
    close: () => inner.close(),
  };
}

/** Decodes a record and verifies its principal. A record whose principal no node has stored is `unreadable`. */
function observedRecord(record: SessionRecord, payloads: Payloads): SessionRecord {
  const { id: sessionId, principal, seal } = record;
  const context = { sessionId, kind: 'identity' } as const;
  const state = checkSeal(payloads, seal, principal, context, 'the record of a session');
  const decoded = decodedRecord(record, payloads);
  return state === 'valid' ? decoded : { ...decoded, initialize: '', unreadable: true };
}
