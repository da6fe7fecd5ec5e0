/** Decodes what the outboxes of the audit trail have, and encodes the states of chains. */
import type { AuditOutboxes, LogEntry, OutboxEntry } from '../backplane.js';
import { decodedEntries } from './decoded-sessions.js';
import { LogTexts } from './log-texts.js';
import type { Payloads } from './payloads.js';
import { checkSeal } from './seals.js';

/** The state of a chain that could not be decoded. No archiver makes it. */
const MALFORMED = '';

/** Returns `inner` with the entries decoded. For nodes, and for archivers that are no nodes. */
export function decodedOutboxes(inner: AuditOutboxes, payloads: Payloads): AuditOutboxes {
  // An archiver reads in the order of the log, from another place than the streams of this node. So it has an order of its own.
  const texts = new LogTexts(payloads);
  const encode = (sessionId: string, state: string): string =>
    payloads.encode(state, { sessionId, kind: 'audit' });
  return {
    outboxes: () => inner.outboxes(),
    lease: (archiver, ms) => inner.lease(archiver, ms),
    release: (archiver) => inner.release(archiver),
    claim: (outbox, archiver) => inner.claim(outbox, archiver),
    async readOutbox(outbox, page) {
      const reply = await inner.readOutbox(outbox, page);
      if (reply.status !== 'ok') return reply;
      return { status: 'ok', entries: decodedOutboxEntries(reply.entries, payloads, texts) };
    },
    async chains(outbox, sessionIds) {
      const states = await inner.chains(outbox, sessionIds);
      return states.map((state, at) => {
        const context = { sessionId: sessionIds[at] ?? '', kind: 'audit' } as const;
        const where = 'the state of an audit chain';
        return state === undefined
          ? undefined
          : (payloads.decode(state, context, where) ?? MALFORMED);
      });
    },
    beginChains: (outbox, archiver, chains) =>
      inner.beginChains(
        outbox,
        archiver,
        new Map([...chains].map(([id, state]) => [id, encode(id, state)])),
      ),
    acknowledge: (outbox, delivered) =>
      inner.acknowledge(outbox, {
        ...delivered,
        chains: new Map(
          [...delivered.chains].map(([id, state]) => [id, state && encode(id, state)]),
        ),
      }),
    endExpired: (outbox, count, from) => inner.endExpired(outbox, count, from),
    waiting: () => inner.waiting(),
  };
}

function decodedOutboxEntries(
  entries: OutboxEntry[],
  payloads: Payloads,
  texts: LogTexts,
): OutboxEntry[] {
  const bySession = new Map<string, LogEntry[]>();
  for (const { sessionId, entry } of entries) {
    const own = bySession.get(sessionId);
    if (own === undefined) bySession.set(sessionId, [entry]);
    else own.push(entry);
  }
  const decoded = new Map<LogEntry, LogEntry>();
  for (const [sessionId, own] of bySession) {
    decodedEntries(own, sessionId, texts).forEach((entry, at) => {
      const stored = own[at];
      if (stored !== undefined) decoded.set(stored, entry);
    });
  }
  return entries.map((each) => decodedOutboxEntry(each, decoded.get(each.entry), payloads));
}

function decodedOutboxEntry(
  stored: OutboxEntry,
  entry: LogEntry | undefined,
  payloads: Payloads,
): OutboxEntry {
  const { sessionId, created, initialize, ...rest } = stored;
  const text = stored.entry.message;
  const where = 'the record of a session';
  const isOwn =
    created?.principal !== undefined &&
    checkSeal(payloads, created.seal, created.principal, { sessionId, kind: 'identity' }, where) ===
      'valid';
  return {
    ...{ ...rest, sessionId, entry: entry ?? stored.entry },
    ...(created !== undefined && { created: isOwn ? created : {} }),
    ...(initialize !== undefined && {
      initialize: payloads.decode(initialize, { sessionId, kind: 'initialize' }, where) ?? '',
    }),
    ...(entry?.unreadable === true && text !== undefined && { stored: text }),
  };
}
