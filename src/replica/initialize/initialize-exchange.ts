import type { ListKind } from '../../backplane/backplane.js';
import { STANDALONE } from '../../backplane/backplane.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { HttpAnswer } from '../../protocol/http-answer.js';
import type { Clock } from '../../protocol/timing/clock.js';
import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../../protocol/json/jsonrpc.js';
import { isRequest, isResponse } from '../../protocol/json/jsonrpc.js';

/** How long a server may take to answer `initialize`. */
const ANSWER_MS = 30_000;

/**
 * Collects the messages of a server until it has answered `initialize`. The session is not stored before that, so these
 * messages are stored together with it.
 */
export class InitializeExchange {
  readonly outbound: { stream: string; message: string; asks: boolean }[] = [];
  answer: JsonRpcResponse | undefined;
  /** The HTTP response for the answer, if the server has set it. */
  httpAnswer: HttpAnswer | undefined;
  /** Resolves when the session is stored. Rejects if there will be no session. */
  readonly stored: Promise<void>;
  succeed: () => void = () => undefined;
  failed: (error: unknown) => void = () => undefined;
  private onAnswer: (failure?: unknown) => void = () => undefined;

  constructor(
    readonly request: JsonRpcRequest,
    readonly stream: string,
    private readonly clock: Clock,
  ) {
    this.stored = new Promise((resolve, reject) => {
      this.succeed = resolve;
      this.failed = (error) => {
        this.onAnswer(error);
        reject(error);
      };
    });
    this.stored.catch(() => undefined); // usually no message awaits this promise
  }

  /** Collects a message. Returns `false` if the server had answered before. */
  take(
    message: JsonRpcMessage,
    relatedTo: RequestId | undefined,
    httpAnswer?: HttpAnswer,
  ): boolean {
    if (this.answer !== undefined) return false;
    const answers = isResponse(message) && message.id === this.request.id;
    if (isResponse(message) && !answers) return true; // drops an answer to a request that the client has not sent
    const related = answers || relatedTo === this.request.id;
    this.outbound.push({
      stream: related ? this.stream : STANDALONE,
      message: JSON.stringify(message),
      asks: isRequest(message),
    });
    if (answers) {
      this.answer = message;
      this.httpAnswer = httpAnswer;
      this.onAnswer();
    }
    return true;
  }

  /** Resolves when the server has answered. Rejects if it does not answer in time. */
  async answered(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancelTimer = this.clock.after(ANSWER_MS, () => {
        reject(new AnynodeError('request_timeout', 'The server did not answer `initialize`'));
      });
      this.onAnswer = (failure) => {
        cancelTimer();
        if (failure === undefined) resolve();
        else reject(new Error('The server did not answer', { cause: failure }));
      };
    });
  }
}

const LIST_KINDS = ['tools', 'prompts', 'resources'] as const;

/** Returns the kinds of lists for which the server has declared `listChanged` notifications. */
export function hearsOf(capabilities: unknown): ListKind[] {
  const declared = (capabilities ?? {}) as Record<string, { listChanged?: boolean } | undefined>;
  return LIST_KINDS.filter((kind) => declared[kind]?.listChanged === true);
}
