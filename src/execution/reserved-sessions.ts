/** Sessions of HTTP+SSE: they are there before their `initialize`, and what is said in them goes to one connection. */
import type { Operation, SessionRecord } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { JsonRpcRequest } from '../protocol/jsonrpc.js';
import { isShownOnStandalone } from '../stream/shown-on.js';
import type { LiveSession } from '../replica/live-session.js';
import type { NodeContext } from '../stream/node-context.js';
import { isUninitialized } from '../replica/session-shape.js';

/**
 * Tells the holder of the client's connection that this node has requests of it, and is to be looked after: an event
 * that shows nothing, on the stream that the holder follows, in the step that opens the first of them. Once is enough,
 * as long as this node knows the session.
 */
export function announcement(
  { followers }: NodeContext,
  { id, announced }: LiveSession,
  stream: string,
): Operation[] {
  if (!isShownOnStandalone(stream) || announced || followers.find(id, STANDALONE)) return [];
  const mark = { type: 'append' as const, stream: STANDALONE, message: undefined, asks: true };
  return [{ ...mark, onlyIf: { after: true } }];
}

/** A server that is built for `initialize` is told who the client is, as its factory is with Streamable HTTP. */
export function introduced(
  record: SessionRecord | undefined,
  requests: JsonRpcRequest[],
): SessionRecord | undefined {
  if (record === undefined || !isUninitialized(record)) return record;
  const initialize = requests.find(({ method }) => method === 'initialize');
  return { ...record, initialize: JSON.stringify(initialize?.params ?? {}) };
}
