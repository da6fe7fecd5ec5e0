import type { AppendOperation, NoteOperation } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { AnynodeError } from '../protocol/errors.js';
import type { JsonRpcMessage, JsonRpcResponse, RequestId } from '../protocol/json/jsonrpc.js';
import { isFailure, isRequest } from '../protocol/json/jsonrpc.js';
import { deliverToFollowers } from '../stream/followers/deliver-to-followers.js';
import type { NodeContext } from '../stream/node-context.js';
import { endOf, shownOn } from '../stream/shown-on.js';
import { answerTurns } from './requests/loop-turns.js';
import { nodeOf } from './requests/outgoing-requests.js';
import { serialized } from './requests/request-errors.js';
import type { Call } from './requests/running-calls.js';
import type { ReplicaTransport } from './replica-transport.js';
import { effectOfAnswer } from './session-shape.js';

/**
 * What came of storing a message:
 *
 * - an object, if the message was stored now: the record's revision, and whether the stream has ended;
 * - `gone`: the session has ended;
 * - `executionLost`: another node runs the request now, or a failover has lost the request;
 * - `withdrawn`: the request began before it was stored, and does not count (see {@link EarlyCall});
 * - `undefined`: the message was stored by an earlier try, or its request has ended.
 */
type StoredMessage =
  { revision: Revision; ended: boolean } | 'gone' | 'executionLost' | 'withdrawn' | undefined;

/** Stores the messages of one session's server, and shows them. */
export class ServerMessages {
  private warnedAt: number | undefined;

  constructor(
    private readonly sessionId: string,
    private readonly node: NodeContext,
  ) {}

  /**
   * Tells telemetry of a request to the client, if this node waits for the answer. A task's request may be another node's.
   */
  observed(message: JsonRpcMessage, transport: Pick<ReplicaTransport, 'isOpen'>): JsonRpcMessage {
    const { telemetry } = this.node;
    const isAsked = telemetry !== undefined && isRequest(message) && transport.isOpen(message.id);
    return isAsked ? telemetry.questionAsked(message, this.sessionId) : message;
  }

  /** Stores a message that is no answer. `callStream` is the stream of the client's request that it belongs to. */
  store(message: JsonRpcMessage, callStream: string | undefined): Promise<StoredMessage> {
    // A JSON response cannot carry other messages, so the standalone stream does.
    const stream =
      callStream === undefined || this.node.settings.responseMode === 'json'
        ? STANDALONE
        : shownOn(callStream);
    const operation: AppendOperation = {
      ...{ type: 'append', stream, message: JSON.stringify(message) },
      // Only mark requests whose id this node issued. For other ids, the liveness of the issuing node decides.
      ...(isRequest(message) && nodeOf(message.id) === this.node.nodeId && { asks: true }),
      ...(stream === STANDALONE && this.conditionOf(callStream)),
    };
    return this.storeAll([operation], false);
  }

  /**
   * Returns the condition under which a message is stored: this node still executes the stream of the call, or owns the
   * session.
   */
  private conditionOf(callStream: string | undefined): Pick<AppendOperation, 'onlyIf'> {
    if (callStream !== undefined) return { onlyIf: { executes: callStream } };
    return this.node.settings.owned ? { onlyIf: { owned: true } } : {};
  }

  /** Stores the end of a request. Returns the outcome, the answer as it was stored, and the effect of the request. */
  async end(
    { request, stream, cancelled, early }: Call,
    given: JsonRpcResponse | undefined,
    notes?: NoteOperation[],
  ) {
    const turn = answerTurns.next();
    if (turn !== undefined) await turn;
    const { response, message } = answerTurns.write(() => serialized(this.node, request, given));
    const effect = effectOfAnswer(request, response);
    const failed = cancelled !== true && response !== undefined && isFailure(response);
    if (early !== undefined) {
      const isAnswer = message !== undefined && notes === undefined;
      if (!isAnswer || !early.exchange({ message, failed })) early.open();
      const outcome = await early.outcome;
      if (outcome.kind === 'withdrawn') return { stored: outcome.kind, response } as const;
      if (outcome.kind === 'exchanged') {
        return { stored: { revision: outcome.revision, ended: true }, response } as const;
      }
    }
    const end = endOf(stream, request.id, message, {
      ...(effect !== undefined && { effect }),
      ...(failed && { failed }),
    });
    const stored = await this.storeAll(end, true, notes);
    if (stored === 'executionLost') this.node.telemetry?.count('fenced');
    return { stored, response, effect };
  }

  /** Stores messages, and hands them to their followers on this node. The outcome is that of the first operation. */
  async storeAll(
    operations: [AppendOperation, ...AppendOperation[]],
    urgent: boolean,
    notes: NoteOperation[] = [],
  ): Promise<StoredMessage> {
    const all = [...operations, ...notes];
    const committed = await this.node.commitQueue.store(this.sessionId, all, urgent);
    if (committed === 'gone') return 'gone';
    const [operation] = operations;
    const [result] = committed.results;
    deliverToFollowers(this.node.followers, this.sessionId, operations, committed.results);
    switch (result?.status) {
      case 'appended':
        return { revision: committed.reply.revision, ended: result.ended };
      case 'dropped':
        // With `unbegun`, the stream is assigned to this node, but the step did not begin it: another node owns the session.
        if (result.executor === this.node.nodeId && result.unbegun !== true) return undefined;
        this.node.notices.executionLost(this.sessionId, operation.stream);
        return 'executionLost';
      case 'skipped': {
        const { onlyIf } = operation;
        if (onlyIf !== undefined && 'executes' in onlyIf) {
          this.node.notices.executionLost(this.sessionId, onlyIf.executes);
          return 'executionLost';
        }
        this.node.notices.ownedElsewhere(this.sessionId);
        throw new AnynodeError('closed', 'Another node owns the session now');
      }
      default:
        return undefined;
    }
  }

  /** Warns once a second at most, because a server may report progress of an ended call all the time. */
  warnUndelivered(method: string, why: unknown): void {
    const now = this.node.clock.elapsed();
    if (this.warnedAt !== undefined && now - this.warnedAt < 1000) return;
    this.warnedAt = now;
    this.node.logger.warn(`mcp-anynode: ${method} was not delivered: ${String(why)}`);
  }
}

export function noConnection(id: RequestId | undefined): Error {
  return new Error(`No connection established for request ID: ${String(id)}`);
}

/** Says why a request ended without its answer, as telemetry names it. `withdrawn`: it has not ended for telemetry. */
export function failureOf(stored: StoredMessage): string | undefined {
  if (stored === 'gone') return 'session_ended';
  if (stored === 'withdrawn') return stored;
  return stored === 'executionLost' ? 'execution_lost' : undefined;
}

/** Ignores the error of a commit queue that was closed. The requests of this node are orphans then. */
export function ignoreClosed(): void {
  // Nothing to do.
}
