/** Decodes records and logs of sessions. */
import type { LogEntry, SessionRecord } from '../backplane.js';
import type { PageOrder } from './log-order.js';
import type { LogTexts } from './log-texts.js';
import type { Payloads } from './payloads.js';
import { checkSeal } from './seals.js';

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
