import type { EndpointResponse } from './endpoint-response.js';
import type { StreamEvent } from '../../backplane/backplane.js';
import type { JsonRpcError, RequestId } from '../../protocol/json/jsonrpc.js';
import { parseAnsweredId } from '../../protocol/json/parse-stored.js';
import type { EndReason, Sink } from '../../stream/followers/follower.js';
import { answerLost, internalError } from '../../replica/requests/request-errors.js';
import type { Logger } from '../../options/public-types.js';
import type { ResponseClosing } from './response-closing.js';
import { refuse, REFUSALS } from './refusals.js';
import { cut, replyInParts } from './response.js';
import { cutWhenStalled } from './stalled-client.js';

export interface JsonOptions {
  sessionId: string;
  /** The ids of the requests, in the order that their answers must have. */
  order: RequestId[];
  /** See {@link cutWhenStalled}. */
  stalledMs: number;
  logger: Pick<Logger, 'error'>;
  /** Called when the connection is closed by either side. */
  onClose: () => void;
}

/** Collects the answers of one POST and sends them as one JSON body: an object, or a list for a batch of requests. */
export class JsonConnection implements Sink {
  readonly resumable = false;
  private readonly answers: string[] = [];
  /** The answers of a batch, by the ids of their requests. */
  private readonly byId = new Map<RequestId, string>();
  private done = false;

  constructor(
    private readonly res: EndpointResponse,
    closing: ResponseClosing,
    private readonly options: JsonOptions,
  ) {
    closing.add(() => {
      this.done = true;
      options.onClose();
    });
  }

  write({ message }: StreamEvent): boolean {
    if (message === undefined) return true;
    if (this.options.order.length === 1) {
      this.answers.push(message);
    } else {
      // Parse each answer when it arrives. Parsing all at the end would block the event loop.
      const id = parseAnsweredId(message);
      if (id !== undefined) this.byId.set(id, message);
    }
    return true;
  }

  whenRoom(): void {
    // There always is room: the size of the answers is bounded by the number of requests.
  }

  end(reason: EndReason): void {
    if (this.done) return;
    this.done = true;
    // Other code (such as a timeout middleware) has begun to answer meanwhile.
    if (this.res.headersSent) return;
    try {
      this.answer(reason);
    } catch (error) {
      // A response that middleware or an adapter has changed may throw. Messages of other nodes lead here, where no other
      // code catches errors.
      this.breakOff(error);
    }
  }

  private readonly breakOff = (error: unknown): void => {
    this.options.logger.error(`mcp-anynode: a response broke off: ${String(error)}`);
    cut(this.res);
  };

  private answer(reason: EndReason): void {
    const { sessionId, order } = this.options;
    if (reason === 'gone') {
      refuse(this.res, REFUSALS.sessionNotFound);
    } else if (reason === 'closed') {
      refuse(this.res, REFUSALS.closed);
    } else if (reason === 'unreadable') {
      // The codec has no key for the answer.
      const errors = order.map((id) => JSON.stringify(internalError(id)));
      sendJson(this.res, sessionId, errors, this.breakOff);
    } else {
      // Unless the stream is complete, answers are lost: a failover has lost them, or the log was trimmed before they were read.
      const answers = this.inOrder(reason === 'complete' ? internalError : answerLost);
      sendJson(this.res, sessionId, answers, this.breakOff);
    }
    if (!this.res.writableEnded || this.res.writableLength > 0)
      cutWhenStalled(this.res, this.options.stalledMs);
  }

  /**
   * Returns the answers in the order of their requests. A request without an answer gets an error: its answer could not be
   * parsed, or was lost.
   */
  private inOrder(errorOf: (id: RequestId) => JsonRpcError): string[] {
    const { order } = this.options;
    if (this.answers.length > 0) return this.answers;
    return order.map((id) => this.byId.get(id) ?? JSON.stringify(errorOf(id)));
  }
}

/** Sends one answer as an object, and several as a list. `onError`: see {@link replyInParts}. */
export function sendJson(
  res: EndpointResponse,
  sessionId: string | undefined,
  answers: string[],
  onError?: (error: unknown) => void,
): void {
  const headers = { 'Content-Type': 'application/json' };
  replyInParts(
    res,
    sessionId === undefined ? headers : { ...headers, 'mcp-session-id': sessionId },
    answers.length === 1 ? answers : listOf(answers),
    onError,
  );
}

/** Returns the parts of a JSON list. */
function listOf(answers: string[]): string[] {
  return ['[', ...answers.map((answer, at) => (at === 0 ? answer : `,${answer}`)), ']'];
}
