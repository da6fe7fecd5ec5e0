/**
 * Steps that only sessions of HTTP+SSE need. Such a session exists before its `initialize`, and all its messages go to one
 * connection.
 */
import type { Operation, SessionRecord } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { JsonRpcRequest } from '../protocol/json/jsonrpc.js';
import { isShownOnStandalone } from '../stream/shown-on.js';
import type { LiveSession } from '../replica/live-session.js';
import type { NodeContext } from '../stream/node-context.js';
import { isUninitialized } from '../replica/session-shape.js';

/**
 * Tells the node with the client's connection that this node has requests of the client, so that the other node looks after
 * this one. This is an event without a message on the standalone stream, in the commit that opens the first request. It is
 * sent once for each live session of this node, and again after this node has lost its lease: the other node may have found
 * this node dead, and forgotten it.
 */
export function announcement(
  { followers, backplane }: Pick<NodeContext, 'followers' | 'backplane'>,
  { id, announcedAt }: Pick<LiveSession, 'id' | 'announcedAt'>,
  stream: string,
): Operation[] {
  if (!isShownOnStandalone(stream) || followers.find(id, STANDALONE)) return [];
  const steadySince = backplane.steadySince();
  if (announcedAt !== undefined && steadySince !== undefined && steadySince <= announcedAt)
    return [];
  const mark = { type: 'append' as const, stream: STANDALONE, message: undefined, asks: true };
  return [{ ...mark, onlyIf: { after: true } }];
}

/**
 * Adds the client's `initialize` to the record, if it is among the requests. So the factory learns who the client is, as
 * with Streamable HTTP.
 */
export function introduced(
  record: SessionRecord | undefined,
  requests: JsonRpcRequest[],
): SessionRecord | undefined {
  if (record === undefined || !isUninitialized(record)) return record;
  const initialize = requests.find(({ method }) => method === 'initialize');
  return { ...record, initialize: JSON.stringify(initialize?.params ?? {}) };
}
