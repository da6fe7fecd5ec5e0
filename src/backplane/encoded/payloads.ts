/** Encodes texts on their way into a backplane, and decodes them on their way out. */
import { AnynodeError } from '../../protocol/errors.js';
import type { JoinOptions } from '../backplane.js';

/** What a text is. Each kind is encoded separately, so that a text of one kind cannot replace one of another kind. */
export interface PayloadContext {
  /**
   * The session of the text. `''` if the text belongs to no session, or is read where the session is not known. Tasks and
   * server events are such texts.
   */
  sessionId: string;
  /**
   * The kind of the text. Sessions have:
   *
   * - a message of either direction;
   * - the params of the client's `initialize`;
   * - the application's state (`session(id).state`);
   * - the context of a message that goes to another node: authorization and headers;
   * - the state of its chain in the audit trail.
   *
   * The SDK's stores have:
   *
   * - an event of `eventStore`;
   * - a task's result, the text of its status, and a message in its queue;
   * - a server event.
   *
   * Seals only prove that a node wrote a value which is stored in clear beside them: a session's principal (`identity`), a
   * subscription, and a task's session (`task-session`). The log level is stored encoded.
   */
  kind:
    | ('message' | 'initialize' | 'state' | 'context' | 'identity' | 'level' | 'subscription')
    | 'audit'
    | ('replay' | 'task-result' | 'task-status' | 'task-message' | 'task-session' | 'server-event');
  /** The id of the task, for kinds that begin with `task-`. */
  taskId?: string;
}

/**
 * Encodes and decodes what is stored in the backplane and sent between nodes. See the option `codec`.
 *
 * Both functions are called synchronously, for every message, on every node. `decode` gets what `encode` returned, on any
 * node, until the session has ended. While `encode` throws, nothing is stored, and clients get 503. `decode` must throw for
 * a text that it cannot decode, or that was not encoded for this context.
 */
export interface PayloadCodec {
  /** `text` is JSON, or words of this library followed by JSON. */
  encode(text: string, context: PayloadContext): string;
  decode(text: string, context: PayloadContext): string;
}

/** The least time between two warnings. A client that comes back again and again must not fill the process's log. */
const WARN_EVERY_MS = 10_000;

/** Which node encoded a text, which number it gave the text, and what the text is for. */
export interface Origin {
  nodeId: string;
  /** The number of the text, counted from 1 on each node. */
  number: number;
  /** Words that say where the text belongs. The text is accepted only there. */
  purpose: string;
}

/**
 * The beginning of the line with the origin, which is in front of the text. The rest of the line is node, number and
 * purpose. No JSON begins like this.
 */
const ORIGIN = '~1 ';

/** A codec whose failures are logged. */
export class Payloads {
  private warnedAt = -Infinity;
  /** How many texts this node has encoded together with their origin. */
  private count = 0;

  /** `nodeId` is missing for observers, which encode no text together with its origin. */
  constructor(
    private readonly codec: PayloadCodec,
    private readonly options: Pick<JoinOptions, 'clock' | 'logger'> & { nodeId?: string },
  ) {}

  /** The number of the last text that {@link encodeWithOrigin} has encoded. */
  get lastNumber(): number {
    return this.count;
  }

  /**
   * Encodes a text together with its origin. The codec proves both, so that an attacker without a key cannot put the text
   * elsewhere or use it twice. If the codec leaves texts as they are, the origin is left out, because nodes without a codec
   * have to understand the texts.
   */
  encodeWithOrigin(text: string, context: PayloadContext, purpose: string): string {
    this.count += 1;
    const whole = `${ORIGIN}${this.options.nodeId ?? ''} ${this.count} ${purpose}\n${text}`;
    const encoded = this.encode(whole, context);
    return encoded === whole ? text : encoded;
  }

  /**
   * Decodes a text with its origin. `undefined`: the text cannot be decoded, or has no origin, which is logged. A result
   * without `origin` means that the codec takes plaintext.
   */
  decodeWithOrigin(
    stored: string,
    context: PayloadContext,
    where: string,
  ): { text: string; origin: Origin | undefined } | undefined {
    const whole = this.decode(stored, context, where);
    if (whole === undefined) return undefined;
    if (whole === stored) return { text: stored, origin: undefined };
    const end = whole.indexOf('\n');
    const [, nodeId = '', number = '', purpose = ''] =
      (whole.startsWith(ORIGIN) &&
        end > 0 &&
        /^~1 (\S*) (\d{1,15}) (.+)$/.exec(whole.slice(0, end))) ||
      [];
    if (purpose === '') {
      this.warn(`${where} was encoded by a node of another release`);
      return undefined;
    }
    return { text: whole.slice(end + 1), origin: { nodeId, number: Number(number), purpose } };
  }

  encode(text: string, context: PayloadContext): string {
    const encoded: unknown = this.codec.encode(text, context);
    if (typeof encoded === 'string') return encoded;
    throw new TypeError('mcp-anynode: `codec.encode` has to return a string');
  }

  /** Decodes a text. `undefined`: the text cannot be decoded, which is logged. */
  decode(text: string, context: PayloadContext, where: string): string | undefined {
    try {
      return this.codec.decode(text, context);
    } catch (error) {
      this.warn(`the codec cannot decode ${where}: ${reasonOf(error)}`);
      return undefined;
    }
  }

  /** Logs what was found in the backplane, at most once in {@link WARN_EVERY_MS}. */
  warn(text: string): void {
    const now = this.options.clock.elapsed();
    if (now - this.warnedAt < WARN_EVERY_MS) return;
    this.warnedAt = now;
    this.options.logger.warn(`mcp-anynode: ${text}`);
  }

  /** Decodes a text for a caller that asked for it. Throws `undecodable`. `what` begins the sentence of the error. */
  decodeOrThrow(text: string, context: PayloadContext, what: string): string {
    try {
      return this.codec.decode(text, context);
    } catch (cause) {
      const reason = `${what} cannot be decoded: ${reasonOf(cause)}`;
      throw new AnynodeError('undecodable', reason, { cause });
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
