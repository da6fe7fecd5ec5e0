/** Sessions of an audit trail, read as those of a cluster are. */
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import { compareLogIds } from '../../backplane/positions.js';
import type { EventOptions } from '../../operator/session-events.js';
import { selectEvents } from '../../operator/session-events.js';
import type { SessionSnapshot } from '../../operator/session-snapshot.js';
import { stateAt } from '../../operator/session-snapshot.js';
import type { SessionEvent, SessionInfo } from '../../options/public-types.js';
import { unheld, unheldItems } from '../../protocol/unheld.js';
import { eventOfRecord } from './record-event.js';
import type { AuditRecord } from '../record.js';
import type { Trail } from './trail.js';

export interface ArchivedOptions {
  /**
   * The chain of the session, which is the log id of its first record. Default: the latest one, if several sessions had the
   * same id one after another.
   */
  chain?: string | undefined;
}

/** Each call reads the records of one session. It rejects if the trail cannot be read. */
export interface ArchivedSessions {
  /** Returns the chains of a session id, the latest last. An empty list: the trail has no such session. */
  chains(id: string): Promise<string[]>;
  /** Returns the session as it was at its last record, or `undefined` if the trail has none. */
  get(id: string, options?: ArchivedOptions): Promise<SessionInfo | undefined>;
  /**
   * Reads the events of a session, as `mcp.sessions.events` does. The last one of a session that has ended is
   * `session.closed`. `follow` has no effect. Throws a `TypeError` for invalid options.
   */
  events(id: string, options?: EventOptions & ArchivedOptions): AsyncIterable<SessionEvent>;
  /** Reconstructs a session as it was after the event `eventId`, or at its last record. `undefined`: there is none. */
  stateAt(
    id: string,
    eventId?: string,
    options?: ArchivedOptions,
  ): Promise<SessionSnapshot | undefined>;
}

/** Reads the sessions of a trail. `codec` decodes messages that were encoded with `audit.encrypt`. */
export function archivedSessions(
  trail: Trail,
  { codec }: { codec?: PayloadCodec | undefined } = {},
): ArchivedSessions {
  const chains = async (id: string): Promise<string[]> => {
    const found = new Set<string>();
    for await (const { chain } of trail.records({ session: id })) found.add(chain);
    return [...found].sort(compareLogIds);
  };
  const records = async function* (id: string, { chain }: ArchivedOptions) {
    const chosen = chain ?? (await chains(id)).at(-1);
    if (chosen === undefined) return;
    for await (const record of trail.records({ session: id, from: timeOf(chosen) })) {
      if (record.chain === chosen) yield record;
    }
  };
  const all = async function* (id: string, options: ArchivedOptions) {
    for await (const record of records(id, options)) yield eventOfRecord(record, codec);
  };
  return {
    chains: (id) => unheld(chains(id)),
    get: (id, options = {}) => unheld(infoOfRecords(id, records(id, options), codec)),
    events: (id, options = {}) => unheldItems(selectEvents(all(id, options), options)),
    stateAt: (id, eventId, options = {}) =>
      unheld(
        stateAt(all(id, options), eventId).then((snapshot) =>
          snapshot.eventId === undefined ? undefined : snapshot,
        ),
      ),
  };
}

/** The outcomes that `SessionInfo.errors` counts. */
const FAILED = new Set<AuditRecord['outcome']>(['error', 'tool_error', 'lost']);

/** Returns the time of the first record of a chain. */
function timeOf(chain: string): number | undefined {
  const ms = Number(chain.split('-')[0]);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

async function infoOfRecords(
  id: string,
  records: AsyncIterable<AuditRecord>,
  codec: PayloadCodec | undefined,
): Promise<SessionInfo | undefined> {
  let first: AuditRecord | undefined;
  let last: AuditRecord | undefined;
  let lastSeenAt = 0;
  let errors = 0;
  const events = async function* () {
    for await (const record of records) {
      first ??= record;
      last = record;
      if (record.direction === 'in') lastSeenAt = record.at;
      if (record.direction === 'out' && FAILED.has(record.outcome)) errors += 1;
      yield eventOfRecord(record, codec);
    }
  };
  const snapshot = await stateAt(events());
  if (first === undefined || last === undefined) return undefined;
  const { clientInfo, clientCapabilities = {}, protocolVersion, logLevel } = snapshot;
  return {
    id,
    state: snapshot.state === 'initialized' ? 'initialized' : 'active',
    clientInfo: clientInfo ?? { name: last.client ?? '', version: '' },
    clientCapabilities,
    protocolVersion: protocolVersion ?? last.protocol ?? '',
    createdAt: first.at,
    lastSeenAt: lastSeenAt || first.at,
    logLevel,
    subscriptions: snapshot.subscriptions,
    errors,
    principal: last.principal,
    owner: undefined,
  };
}
