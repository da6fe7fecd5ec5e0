/** Follows the requests of a session, and says of each entry which request it is about and how that request ended. */
import type { LogEntry } from '../../backplane/backplane.js';
import type { JsonRpcMessage, JsonRpcResponse, RequestId } from '../../protocol/json/jsonrpc.js';
import { isObject, isRequest, isResponse } from '../../protocol/json/jsonrpc.js';
import type { SessionEvent } from '../../options/public-types.js';
import type { ChainState, OpenCall } from './chain-state.js';
import { addOpen, idOfKey, keyOf, recordedId, short, takeOpen } from './chain-state.js';
import type { AuditOutcome, AuditRecord } from '../record.js';

type Facts = Pick<
  AuditRecord,
  'method' | 'tool' | 'requestId' | 'outcome' | 'durationMs' | 'receivedBy'
>;

/** Sets what the record of an event says about its request, and brings the open requests of the state up to date. */
export function describeRequest(
  event: SessionEvent,
  entry: LogEntry,
  state: ChainState,
  facts: Facts,
): void {
  const { type, direction, message } = event;
  if (event.method !== undefined) facts.method = short(event.method);
  const requestId = recordedId(event.requestId);
  if (requestId !== undefined) facts.requestId = requestId;
  if (type === 'request.cancelled') {
    // The standalone stream also has marks without a message that are about no request. They name the node that waits.
    if (entry.asker === undefined) endOfStream(event, state, facts);
    return;
  }
  if (event.requestId === undefined) return;
  if (type === 'request.failed' || type === 'request.recovered') {
    about(event, event.requestId, state, facts);
  } else if (message !== undefined && direction !== undefined) {
    exchanged(event, message, { direction, requestId: event.requestId }, state, facts);
  }
}

/** A stream has ended without a message, because the client has cancelled its request. */
function endOfStream(event: SessionEvent, state: ChainState, facts: Facts): void {
  let [found, only]: [string | undefined, string | undefined] = [undefined, undefined];
  let count = 0;
  for (const [key, call] of state.open) {
    if (call.stream !== event.stream || call.ended === true || !key.startsWith('in')) continue;
    count += 1;
    only = key;
    if (call.cancelled === true) found ??= key;
  }
  // With HTTP+SSE, the stream of an answered request ends in the same way, and the answer comes on the standalone stream.
  if (event.stream?.startsWith('g.') !== true && count === 1) found ??= only;
  if (found === undefined) return;
  const id = idOfKey(found);
  if (id !== undefined) facts.requestId = id;
  const call = takeOpen(state, found);
  if (call !== undefined) end(call, 'cancelled', event.at, facts);
}

/** A note about a request whose node is gone. */
function about(event: SessionEvent, id: RequestId, state: ChainState, facts: Facts): void {
  const key = keyOf('in', id);
  const call = state.open.get(key);
  if (call === undefined) return;
  describe(call, facts);
  if (event.type === 'request.recovered') return;
  takeOpen(state, key);
  // The error for the client comes first, and has the outcome already.
  if (call.ended !== true) end(call, 'lost', event.at, facts);
}

function exchanged(
  event: SessionEvent,
  message: JsonRpcMessage,
  { direction, requestId }: { direction: 'in' | 'out'; requestId: RequestId },
  state: ChainState,
  facts: Facts,
): void {
  const { at } = event;
  const other = direction === 'in' ? 'out' : 'in';
  if (isRequest(message)) {
    const tool = toolOf(message);
    if (tool !== undefined) facts.tool = tool;
    const call: OpenCall = { method: short(event.method ?? ''), at };
    if (tool !== undefined) call.tool = tool;
    if (event.nodeId !== undefined) call.node = short(event.nodeId);
    if (event.stream !== undefined) call.stream = event.stream.slice(0, 256);
    addOpen(state, keyOf(direction, requestId), call);
  } else if (isResponse(message)) {
    const key = keyOf(other, requestId);
    const call = state.open.get(key);
    if (call === undefined || call.ended === true) return;
    const outcome = outcomeOf(message, call);
    // The note that follows is about the same request.
    if (outcome === 'lost') call.ended = true;
    else takeOpen(state, key);
    const { receivedBy } = facts;
    end(call, outcome, at, facts);
    // The node that received the client's answer is another one than the one that sent the question.
    if (direction === 'in' && receivedBy !== undefined) facts.receivedBy = receivedBy;
  } else if (direction === 'in') {
    const call = state.open.get(keyOf('in', requestId));
    if (call === undefined) return;
    call.cancelled = true;
    if (call.tool !== undefined) facts.tool = call.tool;
  } else {
    // The server needs no answer to its request any more.
    const call = takeOpen(state, keyOf('out', requestId));
    if (call === undefined) return;
    facts.outcome = 'cancelled';
    facts.durationMs = Math.max(0, at - call.at);
  }
}

function describe(call: OpenCall, facts: Facts): void {
  facts.method = call.method;
  if (call.tool !== undefined) facts.tool = call.tool;
  if (call.node !== undefined && call.node !== '') facts.receivedBy = call.node;
}

function end(call: OpenCall, outcome: AuditOutcome, at: number, facts: Facts): void {
  describe(call, facts);
  facts.outcome = outcome;
  facts.durationMs = Math.max(0, at - call.at);
}

const LOST = new Set<unknown>(['node_lost', 'node_closed', 'answer_lost']);

function outcomeOf(response: JsonRpcResponse, call: OpenCall): AuditOutcome {
  if (!('error' in response)) {
    const result: unknown = response.result;
    return isObject(result) && result.isError === true ? 'tool_error' : 'ok';
  }
  // With answers in JSON, a cancelled request ends with an error.
  if (call.cancelled === true) return 'cancelled';
  const error: unknown = response.error;
  const data = isObject(error) ? error.data : undefined;
  return isObject(data) && LOST.has(data.reason) ? 'lost' : 'error';
}

function toolOf(message: JsonRpcMessage): string | undefined {
  if (!('method' in message) || message.method !== 'tools/call') return undefined;
  const name: unknown = isObject(message.params) ? message.params.name : undefined;
  return typeof name === 'string' ? short(name) : undefined;
}
