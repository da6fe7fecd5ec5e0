/**
 * The form of a client's `initialize` in the log. The record of the session has its params. So the log leaves large params
 * out, and readers of the log take them from the record.
 */
import type { SessionRecords } from '../../backplane/backplane.js';
import type { JsonRpcRequest } from '../../protocol/json/jsonrpc.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import { parseStored } from '../../protocol/json/parse-stored.js';
import type { SessionEvent } from '../../options/public-types.js';

/** Params up to this length are logged. Real clients send a few hundred characters. */
export const LARGE_INITIALIZE = 1024;

/** Returns the text to log. `params` is the JSON text that the record stores. */
export function loggedInitialize(request: JsonRpcRequest, params: string): string {
  if (params.length <= LARGE_INITIALIZE) return JSON.stringify(request);
  const { jsonrpc, id, method } = request;
  return JSON.stringify({ jsonrpc, id, method });
}

/** Adds the params to the event of an `initialize`, if the log has left them out and the record still has them. */
export async function withParams(
  event: SessionEvent,
  sessionId: string,
  backplane: SessionRecords,
): Promise<SessionEvent> {
  const { message, method, direction } = event;
  if (method !== 'initialize' || direction !== 'in' || message === undefined) return event;
  if ('params' in message) return event;
  const record = await backplane.load(sessionId);
  const params = record?.unreadable === true ? undefined : parseStored(record?.initialize ?? '');
  return isObject(params) ? { ...event, message: { ...message, params } as typeof message } : event;
}
