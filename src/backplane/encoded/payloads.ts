/** How texts are encoded on their way into a backplane, and decoded on their way out. */
import { AnynodeError } from '../../protocol/errors.js';
import type { JoinOptions } from '../backplane.js';

/** What a text is: each kind is encoded for itself, so that one can not be put in the place of another. */
export interface PayloadContext {
  /** `''`: it belongs to no session, or is read where nobody knows to which. So are tasks and server events. */
  sessionId: string;
  /**
   * A message of either direction; the params of the client's `initialize`; the application's state
   * (`session(id).state`); what accompanies a request to another node: authorization and headers. Of the SDK's stores: an
   * event of `eventStore`; of a task its result, the text of its status, and a message in its queue; a server event.
   * Seals, which only prove that a node wrote a value that is stored in clear beside them: of a session's principal
   * (`identity`), of a subscription, and of a task's session (`task-session`). The log level is stored encoded.
   */
  kind:
    | ('message' | 'initialize' | 'state' | 'context' | 'identity' | 'level' | 'subscription')
    | ('replay' | 'task-result' | 'task-status' | 'task-message' | 'task-session' | 'server-event');
  /** Of the kinds that begin with `task-`. */
  taskId?: string;
}

/**
 * How what was said in a session is kept in the backplane and sent between nodes. See the option `codec`.
 *
 * Both are called synchronously, for every message, on every node. What `encode` returns is given to `decode` as it
 * is, on any node, until the session has ended. While `encode` throws, nothing is stored, and clients get 503.
 * `decode` throws for what it cannot decode or what was not encoded for this context.
 */
export interface PayloadCodec {
  /** `text` is JSON, or words of this library and JSON behind them. */
  encode(text: string, context: PayloadContext): string;
  decode(text: string, context: PayloadContext): string;
}

/** At most one warning in so long: a client that comes back all the time must not fill the log of the process. */
const WARN_EVERY_MS = 10_000;

/** Which node encoded a text, which number it gave the text, and what the text is for. */
export interface Origin {
  nodeId: string;
  /** Counts the texts of the node from 1. */
  number: number;
  /** Words that say where the text belongs: a text is good for nothing else. */
  purpose: string;
}

/** Begins the line of the origin, which stands in front of the text. The rest of the line: node, number, purpose. No JSON begins so. */
const ORIGIN = '~1 ';

/** A codec, with what becomes of its failures. */
export class Payloads {
  private warnedAt = -Infinity;
  /** How many texts this node has encoded together with their origin. */
  private count = 0;

  /** `nodeId` is left out by observers, which encode nothing. */
  constructor(
    private readonly codec: PayloadCodec,
    private readonly options: Pick<JoinOptions, 'clock' | 'logger'> & { nodeId?: string },
  ) {}

  /** The number of the last text that was {@link close}d. */
  get lastNumber(): number {
    return this.count;
  }

  /**
   * Encodes a text together with its origin. The codec proves both, so that a text cannot be put to another use, nor be used
   * once more, by somebody who has no key. Where the codec leaves texts as they are, the origin is left out: nodes without a
   * codec have to understand them.
   */
  close(text: string, context: PayloadContext, purpose: string): string {
    this.count += 1;
    const whole = `${ORIGIN}${this.options.nodeId ?? ''} ${this.count} ${purpose}\n${text}`;
    const encoded = this.encode(whole, context);
    return encoded === whole ? text : encoded;
  }

  /**
   * `undefined`: it cannot be decoded, or was encoded without an origin; the log of the process was told. Without `origin`:
   * the codec takes plaintext.
   */
  open(
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

  /** `undefined`: it cannot be decoded, which the log of the process was told. */
  decode(text: string, context: PayloadContext, where: string): string | undefined {
    try {
      return this.codec.decode(text, context);
    } catch (error) {
      this.warn(`the codec cannot decode ${where}: ${reasonOf(error)}`);
      return undefined;
    }
  }

  /** Tells the log of the process what was found in the backplane, at most once in {@link WARN_EVERY_MS}. */
  warn(text: string): void {
    const now = this.options.clock.elapsed();
    if (now - this.warnedAt < WARN_EVERY_MS) return;
    this.warnedAt = now;
    this.options.logger.warn(`mcp-anynode: ${text}`);
  }

  /** The same for who asked for just this. Throws `undecodable`. `what`: begins a sentence. */
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
