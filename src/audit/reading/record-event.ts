import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import type { SessionEvent, SessionEventType } from '../../options/public-types.js';
import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import { sealedContext } from '../chain.js';
import type { AuditRecord } from '../record.js';

/**
 * Turns a record back into the event that it was made of. The end of the session becomes `session.closed`, and a gap becomes
 * `log.trimmed`. A message that was erased, or that no given codec decodes, is `unreadable`. One that `redact` has taken out is
 * missing, as in `mcp.sessions.events`.
 */
export function eventOfRecord(record: AuditRecord, codec: PayloadCodec | undefined): SessionEvent {
  const { logId: id, at, direction, stream, requestId, outcome, shownBy } = record;
  const message = record.message ?? openedMessage(record, codec);
  const isMessage = record.type === 'message.received' || record.type === 'message.sent';
  const nodeId = record.type === 'message.received' ? record.receivedBy : record.ranOn;
  return {
    ...{ id, at, type: typeOf(record), direction, stream, message },
    ...(nodeId !== undefined && { nodeId }),
    ...(shownBy !== undefined && { shownBy }),
    // The record of an answer also has the method of its request. Events of answers have none.
    ...(outcome === undefined && record.method !== undefined && { method: record.method }),
    ...(requestId !== undefined && { requestId }),
    ...(record.from !== undefined && { from: record.from }),
    ...(record.skipped !== undefined && { skipped: record.skipped }),
    ...(record.trace !== undefined && { trace: record.trace }),
    ...(isMessage && message === undefined && !isTakenOut(record) && { unreadable: true }),
  };
}

/** True if `redact` has left nothing of the message. The record has no digest then. */
function isTakenOut({ redacted, digest }: AuditRecord): boolean {
  return redacted === true && digest === undefined;
}

function typeOf({ type }: AuditRecord): SessionEventType {
  if (type === 'session.ended') return 'session.closed';
  return type === 'gap' ? 'log.trimmed' : type;
}

function openedMessage(
  { session, sealed, unreadable }: AuditRecord,
  codec: PayloadCodec | undefined,
): JsonRpcMessage | undefined {
  if (sealed === undefined || codec === undefined || unreadable === true) return undefined;
  try {
    const value: unknown = JSON.parse(codec.decode(sealed, sealedContext(session)));
    return isObject(value) ? (value as unknown as JsonRpcMessage) : undefined;
  } catch {
    return undefined;
  }
}
