/** Decodes what an observer with the codec reads. */
import type { LogEntry, SessionRecord } from '../backplane.js';
import type { PageOrder } from './log-order.js';
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
    audit: inner.audit,
    close: () => inner.close(),
  };
}

/**
 * Decodes a record. It is `unreadable` if it cannot be decoded. A log level or a subscription that no node has stored is
 * left out.
 */
export function decodedRecord(record: SessionRecord, payloads: Payloads): SessionRecord {
  const { initialize, logLevel, subscriptionSeals, seal: _, ...rest } = record;
  const sessionId = record.id;
  const where = 'the record of a session';
  const text = payloads.decode(initialize, { sessionId, kind: 'initialize' }, where);
  const context = { sessionId, kind: 'subscription' } as const;
  const decoded = {
    ...rest,
    logLevel: logLevel && payloads.decode(logLevel, { sessionId, kind: 'level' }, 'a log level'),
    subscriptions: record.subscriptions.filter(
      (uri) =>
        checkSeal(payloads, subscriptionSeals?.get(uri), uri, context, 'a subscription') ===
        'valid',
    ),
  };
  return text === undefined
    ? { ...decoded, initialize: '', unreadable: true }
    : { ...decoded, initialize: text };
}

/** Decodes a record and verifies its principal. A record whose principal no node has stored is `unreadable`. */
function observedRecord(record: SessionRecord, payloads: Payloads): SessionRecord {
  const { id: sessionId, principal, seal } = record;
  const context = { sessionId, kind: 'identity' } as const;
  const state = checkSeal(payloads, seal, principal, context, 'the record of a session');
  const decoded = decodedRecord(record, payloads);
  return state === 'valid' ? decoded : { ...decoded, initialize: '', unreadable: true };
}

/**
 * Decodes entries that follow each other in a log. An entry is `unreadable` if it cannot be decoded, or is not where a node
 * has put it.
 */
export function decodedEntries(
  entries: LogEntry[],
  sessionId: string,
  texts: LogTexts,
): LogEntry[] {
  const order: PageOrder = new Map();
  return entries.map((entry) => {
    if (entry.message === undefined) return entry;
    const opened = texts.decode(entry.message, sessionId, entry, order);
    return typeof opened === 'object'
      ? { ...entry, message: opened.text }
      : { ...entry, message: undefined, unreadable: true };
  });
}
