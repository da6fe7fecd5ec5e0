/**
 * Reduces events to what a picture of a session needs. A summary names methods, tools, nodes and outcomes. It has the message itself
 * only if the caller may show messages.
 */
import type { SessionEvent, SessionEventType } from '../options/public-types.js';

export interface EventSummary {
  id: string;
  at: number;
  type: SessionEventType;
  direction?: 'in' | 'out';
  stream?: string;
  /** The node that received, sent or did it. */
  nodeId?: string;
  /** The node that showed a message to the client. `null`: no node did, because the client had no connection. */
  shownBy?: string | null;
  method?: string;
  requestId?: string | number;
  /** The node that had run the request of a `request.recovered` or `request.failed`. */
  from?: string;
  skipped?: number;
  unreadable?: true;
  kind: 'request' | 'notification' | 'result' | 'error' | 'note' | 'unknown';
  /** The tool or the prompt of a request. */
  name?: string;
  /** The result of a tool that says that it failed (`isError`). */
  toolError?: true;
  /** The code of a JSON-RPC error, or the one that the text of a tool's error begins with. */
  code?: number;
  /** Why a node ended the request: `data.reason` of an error of this library. */
  reason?: string;
  /** The W3C trace id under which the request was traced, if it is known. */
  traceId?: string;
  message?: unknown;
}

/** The most characters of a text that a client or a server wrote. */
const LONGEST = 200;

const REASONS = new Set([
  ...['node_lost', 'node_closed', 'answer_lost', 'server_unreachable', 'server_lost'],
  ...['server_refused', 'server_invalid', 'server_oversized'],
]);

/** Returns the summary of an event. `messages`: whether it may have the message. */
export function summaryOf(event: SessionEvent, { messages }: { messages: boolean }): EventSummary {
  const { id, at, type, direction, stream, message, nodeId, shownBy, from, skipped } = event;
  // The trace of the log is that of the node's own span. The client's, in the message, is the same or none.
  const trace = traceIdOf(event.trace);
  return {
    ...{ id, at, type },
    ...(direction !== undefined && { direction }),
    ...(stream !== undefined && { stream }),
    ...(nodeId !== undefined && { nodeId }),
    ...(shownBy !== undefined && { shownBy }),
    ...(event.method !== undefined && { method: cut(event.method) }),
    ...(event.requestId !== undefined && { requestId: shortId(event.requestId) }),
    ...(from !== undefined && { from }),
    ...(skipped !== undefined && { skipped }),
    ...(event.unreadable === true && { unreadable: true as const }),
    ...contentOf(type, message),
    ...(trace !== undefined && { traceId: trace }),
    ...(messages && message !== undefined && { message }),
  };
}

function contentOf(
  type: SessionEventType,
  message: unknown,
): Pick<EventSummary, 'kind' | 'name' | 'toolError' | 'code' | 'reason' | 'traceId'> {
  if (type !== 'message.received' && type !== 'message.sent') return { kind: 'note' };
  if (!isObject(message)) return { kind: 'unknown' };
  if ('method' in message) {
    const params = isObject(message.params) ? message.params : {};
    const { name } = params;
    const isNamed = message.method === 'tools/call' || message.method === 'prompts/get';
    const traceId = traceIdOf(isObject(params._meta) ? params._meta.traceparent : undefined);
    return {
      kind: 'id' in message ? 'request' : 'notification',
      ...(isNamed && typeof name === 'string' && { name: cut(name) }),
      ...(traceId !== undefined && { traceId }),
    };
  }
  if ('error' in message) {
    const error = isObject(message.error) ? message.error : {};
    const reason = isObject(error.data) ? error.data.reason : undefined;
    return {
      kind: 'error',
      ...(typeof error.code === 'number' && { code: error.code }),
      // Any other text may be from the server, and say something confidential.
      ...(typeof reason === 'string' && REASONS.has(reason) && { reason }),
    };
  }
  const failed = isObject(message.result) && message.result.isError === true;
  if (!failed) return { kind: 'result' };
  const code = codeOfToolError(message.result);
  return { kind: 'result', toolError: true as const, ...(code !== undefined && { code }) };
}

/** The SDK answers the call of an unknown tool, and arguments that do not fit, with a result whose text begins with a code. */
function codeOfToolError(result: unknown): number | undefined {
  const content = isObject(result) && Array.isArray(result.content) ? result.content : [];
  const first: unknown = content[0];
  const text = isObject(first) && typeof first.text === 'string' ? first.text.slice(0, 40) : '';
  const code = /^MCP error (-\d{1,6}):/.exec(text)?.[1];
  return code === undefined ? undefined : Number(code);
}

/** Returns the trace id of a `traceparent` (W3C Trace Context). The text may be anything. */
function traceIdOf(parent: unknown): string | undefined {
  if (typeof parent !== 'string' || parent.length > 128) return undefined;
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(parent)?.[1];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function shortId(id: string | number): string | number {
  return typeof id === 'string' ? cut(id) : id;
}
