import type { ListKind } from '../../backplane/backplane.js';
import { STANDALONE } from '../../backplane/backplane.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { Clock } from '../../protocol/clock.js';
import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../../protocol/jsonrpc.js';
import { isRequest, isResponse } from '../../protocol/jsonrpc.js';

/** How long a server may take to answer `initialize`. */
const ANSWER_MS = 30_000;

/**
 * What a server says until it has answered `initialize`: there is no session yet that could store it, so it is
 * collected here, and stored together with the session.
 */
export class InitializeExchange {
  readonly outbound: { stream: string; message: string; asks: boolean }[] = [];
  answer: JsonRpcResponse | undefined;
  /** Resolves once the session exists; rejects if it never will. */
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
    this.stored.catch(() => undefined); // whoever waits hears of it; often nobody does
  }

  /** `false`: the answer was given before. */
  take(message: JsonRpcMessage, relatedTo: RequestId | undefined): boolean {
    if (this.answer !== undefined) return false;
    const answers = isResponse(message) && message.id === this.request.id;
    if (isResponse(message) && !answers) return true; // to a question that nobody asked
    const related = answers || relatedTo === this.request.id;
    this.outbound.push({
      stream: related ? this.stream : STANDALONE,
      message: JSON.stringify(message),
      asks: isRequest(message),
    });
    if (answers) {
      this.answer = message;
      this.onAnswer();
    }
    return true;
  }

  /** Resolves with the answer; rejects when there is none in time. */
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

/** Which broadcasts a server has announced that it may send. */
export function hearsOf(capabilities: unknown): ListKind[] {
  const declared = (capabilities ?? {}) as Record<string, { listChanged?: boolean } | undefined>;
  return LIST_KINDS.filter((kind) => declared[kind]?.listChanged === true);
}
