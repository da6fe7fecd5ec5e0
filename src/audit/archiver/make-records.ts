/**
 * Makes records of the entries of an outbox. The same entry and the same state of its chain give the same records, so a
 * second delivery changes nothing in a sink that knows the hashes it has stored.
 */
import type { OutboxEntry } from '../../backplane/roles/audit-outboxes.js';
import { eventOf } from '../../operator/event-of-entry.js';
import type { SessionEvent } from '../../options/public-types.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import { parseStored } from '../../protocol/json/parse-stored.js';
import { LARGE_INITIALIZE } from '../../replica/initialize/logged-initialize.js';
import { principalOf } from '../../replica/session-info.js';
import { hashOf, saltOf } from '../chain.js';
import type { ChainState } from './chain-state.js';
import { chainAfter, isBegunFor, keepInitialize, short, storable } from './chain-state.js';
import type { KeepOptions } from './kept-message.js';
import { keepMessage, keepUnreadable } from './kept-message.js';
import type { AuditRecord, AuditRecordType } from '../record.js';
import { describeRequest } from './request-outcomes.js';

export interface MakeOptions extends KeepOptions {
  outbox: string;
}

/**
 * Returns the records of one entry, and the state of the chain after them, which is `undefined` if the chain has ended. The
 * given state is changed. `ordinal` is the number of the last record of the outbox.
 */
export function makeRecords(
  entry: OutboxEntry,
  state: ChainState,
  ordinal: number,
  options: MakeOptions,
): { records: AuditRecord[]; state: ChainState | undefined } {
  const { entry: logged, created, ended, gap } = entry;
  const records: AuditRecord[] = [];
  let chain = state;
  const begin = (type: AuditRecordType): AuditRecord => {
    const record = blank(entry, chain, type, ordinal + records.length + 1, options.outbox);
    records.push(record);
    return record;
  };
  if (created !== undefined && !isBegunFor(chain, logged.logId)) {
    // The session before had the same id, and its end was never seen.
    const record = begin('session.ended');
    record.reason = 'expired';
    finish(record, chain);
    chain = chainAfter(chain.secret, logged.logId);
  }
  if (created !== undefined) introduce(chain, created.principal, entry.initialize);
  else if (entry.initialize !== undefined) nameClient(chain, paramsOf(entry.initialize));
  if (ended !== undefined) {
    const record = begin('session.ended');
    record.reason = ended;
    finish(record, chain);
    return { records, state: undefined };
  }
  if (gap !== undefined) {
    const record = begin('gap');
    record.missing = { entries: gap.entries, from: gap.from };
    finish(record, chain);
    return { records, state: chain };
  }
  const event = withInitialize(eventOf(logged), chain);
  const record = begin(event.type as AuditRecordType);
  describeEvent(event, record);
  describeRequest(event, logged, chain, record);
  learn(chain, event, record.method);
  keep(event, chain, entry, record, options);
  finish(record, chain);
  return { records, state: chain };
}

/** Returns a record without what it says. All records are filled in place, because copies would be most of the work. */
function blank(
  { sessionId, entry }: OutboxEntry,
  { chain, seq }: ChainState,
  type: AuditRecordType,
  ordinal: number,
  outbox: string,
): AuditRecord {
  return {
    v: 1,
    session: sessionId,
    chain,
    seq: seq + 1,
    ordinal,
    outbox,
    at: entry.at,
    logId: entry.logId,
    type,
    previous: '',
    hash: '',
  };
}

/** Binds a record to its chain, and moves the chain on. */
function finish(record: AuditRecord, chain: ChainState): void {
  const { principal, client, protocol } = chain;
  if (principal !== undefined) record.principal = principal;
  if (client !== undefined) record.client = client;
  if (protocol !== undefined) record.protocol = protocol;
  record.previous = chain.last;
  record.hash = hashOf(record);
  chain.seq = record.seq;
  chain.last = record.hash;
}

/** Sets the fields that a record has from its event, without those about its request. */
function describeEvent(event: SessionEvent, record: AuditRecord): void {
  const { type, direction, stream, nodeId, shownBy, from, skipped, trace, unreadable } = event;
  if (direction !== undefined) record.direction = direction;
  if (stream !== undefined) record.stream = short(stream);
  if (nodeId !== undefined) {
    if (type === 'message.received') record.receivedBy = short(nodeId);
    else record.ranOn = short(nodeId);
  }
  if (shownBy !== undefined) record.shownBy = shownBy && short(shownBy);
  if (from !== undefined) record.from = short(from);
  if (skipped !== undefined) record.skipped = skipped;
  if (trace !== undefined) record.trace = short(trace);
  if (unreadable !== undefined) record.unreadable = unreadable;
}

function keep(
  { message, direction, id, at, type, stream }: SessionEvent,
  { secret, seq }: ChainState,
  { sessionId, stored }: OutboxEntry,
  record: AuditRecord,
  options: MakeOptions,
): void {
  const salt = () => saltOf(secret, seq + 1);
  if (message !== undefined && direction !== undefined) {
    const context = { sessionId, id, at, type, stream, direction };
    keepMessage(message, context, salt, record, options);
  } else if (stored !== undefined && options.redact === undefined) {
    keepUnreadable(stored, salt, record);
  }
}

function introduce(
  chain: ChainState,
  principal: string | undefined,
  initialize: string | undefined,
): void {
  if (principal !== undefined) setPrincipal(chain, principal);
  if (initialize === undefined) return;
  nameClient(chain, paramsOf(initialize));
  if (initialize.length > LARGE_INITIALIZE) keepInitialize(chain, initialize);
}

/** Sets the principal of a chain from its stored form. */
export function setPrincipal(chain: ChainState, stored: string): void {
  const principal = principalOf(stored);
  if (principal !== undefined) chain.principal = storable(principal);
}

/** Sets the name and the version of the client from the params of `initialize`. */
export function nameClient(chain: ChainState, params: unknown): void {
  const info: unknown = isObject(params) ? params.clientInfo : undefined;
  if (!isObject(info)) return;
  const named = [info.name, info.version].filter((text) => typeof text === 'string');
  const client = short(named.join(' ').trim());
  if (client !== '') chain.client = client;
}

export function setProtocol(chain: ChainState, version: unknown): void {
  if (typeof version === 'string' && version !== '') chain.protocol = short(version);
}

/** Adds the params to a large `initialize`, which the log has without them. */
function withInitialize(event: SessionEvent, chain: ChainState): SessionEvent {
  const { message, method, direction } = event;
  if (method !== 'initialize' || direction !== 'in' || message === undefined) return event;
  const kept = chain.initialize;
  delete chain.initialize;
  if (kept === undefined || 'params' in message) return event;
  const params = paramsOf(kept);
  if (!isObject(params)) return event;
  return { ...event, message: { ...message, params } };
}

/** Learns the client from an `initialize`, and the version of the protocol from its answer. */
function learn(chain: ChainState, { message, direction }: SessionEvent, method?: string): void {
  if (method !== 'initialize' || message === undefined) return;
  if (direction === 'in') {
    if ('params' in message) nameClient(chain, message.params);
  } else if ('result' in message && isObject(message.result)) {
    setProtocol(chain, message.result.protocolVersion);
  }
}

function paramsOf(text: string): unknown {
  return text === '' ? undefined : parseStored(text);
}
