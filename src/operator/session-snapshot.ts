/** Computes the state of a session at a place of its log. */
import type { Effect } from '../backplane/backplane.js';
import { compareLogIds } from '../backplane/backplane.js';
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';
import { isRequest, isResponse } from '../protocol/json/jsonrpc.js';
import { isEventId } from './session-events.js';
import { effectOf } from '../replica/session-shape.js';
import type { SessionEvent, SessionInfo } from '../options/public-types.js';

/** A request that has not been answered. */
export interface OpenRequest {
  id: RequestId;
  method: string;
  stream: string | undefined;
  /** The time of the event with the request, in milliseconds since the epoch. */
  since: number;
  /** The node that runs the request, if the events name it. For a question: the node that waits for the answer. */
  nodeId: string | undefined;
}

/** The state of a session after its events up to a place. */
export interface SessionSnapshot {
  /** The last event that was included. `undefined`: there was none. */
  eventId: string | undefined;
  at: number | undefined;
  /**
   * True if the events are complete. False if the log does not go back to the session's beginning, or if some events are
   * missing, redacted or unreadable. Then parts of this snapshot may be missing too.
   */
  complete: boolean;
  /** The state as in {@link SessionInfo}. `closed`: the session has ended. `unknown`: no event says so. */
  state: SessionInfo['state'] | 'closed' | 'unknown';
  clientInfo: SessionInfo['clientInfo'] | undefined;
  clientCapabilities: Record<string, unknown> | undefined;
  /** The negotiated protocol version. */
  protocolVersion: string | undefined;
  logLevel: string | undefined;
  subscriptions: string[];
  /** The running requests of the client. */
  openRequests: OpenRequest[];
  /** The requests of the server that the client has not answered. */
  questions: OpenRequest[];
  /** How many messages came from the client, and how many went to it. */
  received: number;
  sent: number;
}

/**
 * Computes the state of a session after the event `eventId`, or after all events. The events are those of one session, in
 * order, from `sessions.events` or parsed from `sessions.export`. Filters and `redact` make the result incomplete. An id
 * between two events means the earlier one.
 *
 * Rejects with a `TypeError` if `eventId` is not the id of an event, and with what the iteration rejects with.
 */
export async function stateAt(
  events: Iterable<SessionEvent> | AsyncIterable<SessionEvent>,
  eventId?: string,
): Promise<SessionSnapshot> {
  if (eventId !== undefined && !isEventId(eventId)) {
    throw new TypeError('mcp-anynode: `eventId` has to be the id of an event');
  }
  const replay = new Replay();
  for await (const event of events) {
    if (eventId !== undefined && compareLogIds(event.id, eventId) > 0) break;
    replay.take(event);
  }
  return replay.snapshot();
}

/** Goes through events and computes the state that they lead to. */
class Replay {
  private readonly requests = new Map<string, OpenRequest & { effect: Effect | undefined }>();
  private readonly questions = new Map<RequestId, OpenRequest>();
  private readonly subscriptions = new Set<string>();
  private last: SessionEvent | undefined;
  private fromStart = false;
  private missing = false;
  private readonly info = {
    state: 'unknown' as SessionSnapshot['state'],
    clientInfo: undefined as SessionSnapshot['clientInfo'],
    clientCapabilities: undefined as SessionSnapshot['clientCapabilities'],
    protocolVersion: undefined as string | undefined,
    logLevel: undefined as string | undefined,
    received: 0,
    sent: 0,
  };

  take(event: SessionEvent): void {
    const { info, requests } = this;
    // A log that a node of release 0.1 wrote begins with the request.
    this.fromStart ||= this.last === undefined && isBeginning(event);
    this.last = event;
    const running = requests.get(JSON.stringify(event.requestId));
    switch (event.type) {
      case 'session.created':
        if (info.state === 'unknown') info.state = 'initialized';
        break;
      case 'session.initialized':
        info.state = 'active';
        break;
      case 'session.closed':
        info.state = 'closed';
        requests.clear();
        this.questions.clear();
        break;
      case 'message.received':
        info.received += 1;
        if (event.message === undefined) this.missing = true;
        else this.received(event, event.message);
        break;
      case 'message.sent':
        info.sent += 1;
        if (event.message === undefined) this.missing = true;
        else this.sent(event, event.message);
        break;
      case 'request.recovered':
        if (running !== undefined) running.nodeId = event.nodeId;
        break;
      case 'log.trimmed':
        this.missing = true;
        break;
      default: // the answer or the cancellation has ended the request already
        break;
    }
  }

  snapshot(): SessionSnapshot {
    return {
      eventId: this.last?.id,
      at: this.last?.at,
      complete: this.fromStart && !this.missing,
      ...this.info,
      subscriptions: [...this.subscriptions],
      openRequests: [...this.requests.values()].map(({ effect: _, ...request }) => request),
      questions: [...this.questions.values()],
    };
  }

  private received(event: SessionEvent, message: JsonRpcMessage): void {
    const { info, requests } = this;
    if (isRequest(message)) {
      if (message.method === 'initialize') {
        const { clientInfo, capabilities } = message.params ?? {};
        info.clientInfo = clientInfo as SessionSnapshot['clientInfo'];
        info.clientCapabilities = capabilities as SessionSnapshot['clientCapabilities'];
      }
      const effect = effectOf(message);
      requests.set(JSON.stringify(message.id), { ...openOf(event, message), effect });
    } else if (isResponse(message)) {
      if (message.id !== undefined) this.questions.delete(message.id);
    } else if (message.method === 'notifications/initialized') {
      info.state = 'active';
    } else if (message.method === 'notifications/cancelled') {
      requests.delete(JSON.stringify(message.params?.requestId));
    }
  }

  private sent(event: SessionEvent, message: JsonRpcMessage): void {
    const { info, requests, questions } = this;
    if (isRequest(message)) {
      questions.set(message.id, openOf(event, message));
    } else if (isResponse(message)) {
      const key = JSON.stringify(message.id);
      const request = requests.get(key);
      requests.delete(key);
      if (request === undefined || !('result' in message)) return;
      if (request.method === 'initialize') {
        info.protocolVersion = String(message.result.protocolVersion);
      }
      if (request.effect !== undefined) this.remember(request.effect);
    } else if (message.method === 'notifications/cancelled') {
      questions.delete(message.params?.requestId as RequestId);
    }
  }

  private remember(effect: Effect): void {
    if (effect.type === 'level') this.info.logLevel = effect.level;
    else if (effect.type === 'subscribe') this.subscriptions.add(effect.uri);
    else if (effect.type === 'unsubscribe') this.subscriptions.delete(effect.uri);
  }
}

function isBeginning({ type, method }: SessionEvent): boolean {
  return type === 'session.created' || (type === 'message.received' && method === 'initialize');
}

function openOf({ at, stream, nodeId }: SessionEvent, message: { id: RequestId; method: string }) {
  return { id: message.id, method: message.method, stream, since: at, nodeId };
}
