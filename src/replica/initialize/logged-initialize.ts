/**
 * What the log has of a client's `initialize`. The session's record has its params, so that the log has no second copy of
 * large ones: readers of the log get them from the record.
 */
import type { SessionRecords } from '../../backplane/backplane.js';
import type { JsonRpcRequest } from '../../protocol/jsonrpc.js';
import { isObject } from '../../protocol/jsonrpc.js';
import { parseStored } from '../../protocol/parse-stored.js';
import type { SessionEvent } from '../../options/types.js';

/** Real clients send a few hundred characters, which are worth no second look. */
const LARGE = 1024;

/** The text to log; `params`: as they are in the record. */
export function loggedInitialize(request: JsonRpcRequest, params: string): string {
  if (params.length <= LARGE) return JSON.stringify(request);
  const { jsonrpc, id, method } = request;
  return JSON.stringify({ jsonrpc, id, method });
}

/** The event with its params, where the log has left them out and the record still has them. */
export async function withParams(
  event: SessionEvent,
  sessionId: string,
  membership: SessionRecords,
): Promise<SessionEvent> {
  const { message, method, direction } = event;
  if (method !== 'initialize' || direction !== 'in' || message === undefined) return event;
  if ('params' in message) return event;
  const record = await membership.load(sessionId);
  const params = record?.unreadable === true ? undefined : parseStored(record?.initialize ?? '');
  return isObject(params) ? { ...event, message: { ...message, params } as typeof message } : event;
}
