/** What is stored of a POST with requests, and what is said if it is not. */
import type { OpenOperation, OperationResult, Position } from '../../backplane/backplane.js';
import type { Revision } from '../../backplane/revision.js';
import type { JsonRpcMessage, JsonRpcRequest } from '../../protocol/json/jsonrpc.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { Committed } from '../../stream/commit-queue.js';
import type { Followers } from '../../stream/followers/followers.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { Inbound } from '../messages/client-messages.js';

/** A stored POST with requests. Its stream is open, and its requests do not run yet. */
export interface StoredRequests {
  stream: string;
  /** The position at which the stream begins. */
  position: Position;
  /** The node that is to run the requests, if it is another node. That node has to be told of the requests. */
  owner: string | undefined;
  live: LiveSession;
  messages: JsonRpcMessage[];
  /** The messages that are not requests, with the result of the commit for each. */
  others: JsonRpcMessage[];
  otherResults: OperationResult[];
  committed: Committed;
  /** When this node sent the commit, by its own clock. */
  askedAt: number;
  /** Set if the request has begun already. Must be called when the stream has its follower, or gets none. */
  begun?: ((followers: Followers | undefined) => void) | undefined;
  /** Ends the use of the session, so that its replica may be discarded. */
  unpin: () => void;
}

/** The stream of a POST with requests that is to be stored. */
export interface NewStream {
  name: string;
  /** Names the connection among those of this node. */
  token: string;
  trace?: string | undefined;
}

/** A POST with requests that was not stored. */
export interface NotStored {
  reason: 'gone' | 'duplicate' | 'limited';
  /** Streams whose open requests prevented the commit. `executor` is empty if the backplane does not know it. */
  blockers: { stream: string; executor: string }[];
}

export const GONE: NotStored = { reason: 'gone', blockers: [] };

/** Says what prevented a stream from being opened. */
export function refusedBy(opened: OperationResult | undefined): NotStored {
  if (opened?.status === 'limited') return { reason: 'limited', blockers: opened.running };
  const blockers = opened?.status === 'duplicate' ? [opened] : [];
  return { reason: 'duplicate', blockers };
}

/** Returns the operation that stores these requests and opens their stream. */
export function openOperation(
  { settings }: Pick<NodeContext, 'settings'>,
  {
    principal,
    requests,
    text,
  }: Pick<Inbound, 'principal' | 'text'> & { requests: JsonRpcRequest[] },
  stream: NewStream,
  revision: Revision | undefined,
): OpenOperation {
  return {
    type: 'open',
    principal,
    stream: stream.name,
    token: stream.token,
    requests: requests.map(({ id }) => JSON.stringify(id)),
    messages: requests.map((request) => text ?? JSON.stringify(request)),
    revision,
    owned: settings.owned,
    most: settings.limits.requestsPerSession,
    ...(stream.trace !== undefined && { trace: stream.trace }),
  };
}
