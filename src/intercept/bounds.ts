/** The bounds for what a server behind this library may send. `docs/reference/limits.md` lists them. */
import type { JsonShape } from '../protocol/json/json-shape.js';
import { Failure } from './failure.js';

/**
 * The bound for all messages of the server that a node reads at one moment, as a multiple of the longest message allowed.
 */
export const MESSAGES_AT_ONCE = 8;
/**
 * The bound for one message, checked before it is parsed. A message with deeper nesting could overflow the stack when it is
 * written as JSON again.
 */
export const MESSAGE_SHAPE: JsonShape = { depth: 1_000, values: 250_000 };
/** The most messages in one JSON body. */
export const BATCH_SIZE = 1_000;
/** The longest request id, progress token, event id or method name. */
export const LONGEST_ID = 1_024;
/** The longest version in an answer to `initialize`. The version becomes a header. */
export const LONGEST_VERSION = 64;
/**
 * The bound for the answer to a handshake and all messages before it. Each message counts `MESSAGE_COST` bytes in addition to
 * its length.
 */
export const HANDSHAKE_BYTES = 4 * 1024 * 1024;
export const MESSAGE_COST = 4_096;
/** How much of a body is read if its response has an error status, or if the body is not needed. */
export const REFUSAL_BYTES = 64 * 1024;
/** The most responses with a status of 1xx to one request. */
export const INTERIM_RESPONSES = 1_000;
/** The bounds of the time that the server may ask its clients to wait before they resume a stream. */
export const LEAST_RETRY_MS = 100;
export const MOST_RETRY_MS = 30_000;
/** The memory that a piece of text takes besides its characters, however short it is. */
const PIECE_COST = 32;

/**
 * The bound for notifications and answers that wait until the server takes them. If more wait, the server takes nothing any
 * more, and the server object of the session ends.
 */
export const STUCK_BYTES = 32 * 1024 * 1024;

/** Returns the memory that a piece of text takes. */
export function costOf(piece: string): number {
  return Buffer.byteLength(piece) + PIECE_COST;
}

/** Makes the error for a server that has sent more than a bound allows. The client sees the text. */
export function oversized(what: string): Failure {
  return new Failure('server_oversized', what);
}

/** The memory that one response takes for messages that are not complete yet. */
export interface Share {
  /** Sets the share to `bytes`. Throws a {@link Failure} if no message may be so long. */
  hold(bytes: number): void;
  release(): void;
}

/**
 * Bounds the memory of messages that are not complete yet: of each message, and of all messages of the server on this node
 * together. If all together are too long, the response with the longest message ends, so that shorter messages of other
 * sessions can go on.
 */
export class MemoryBudget {
  private readonly shares = new Map<Share, { bytes: number; end: (failure: Failure) => void }>();
  private total = 0;

  constructor(private readonly messageBytes: number) {}

  /**
   * Makes a share. `end` is called if this response has to end so that others can go on. With `atMost`, the share may hold
   * less than usual.
   */
  share(end: (failure: Failure) => void, atMost = Infinity): Share {
    const most = Math.min(atMost, this.messageBytes);
    const entry = { bytes: 0, end };
    const share: Share = {
      hold: (bytes) => {
        if (bytes > most) throw oversized(`a message of more than ${most} bytes`);
        if (!this.shares.has(share)) return;
        this.total += bytes - entry.bytes;
        entry.bytes = bytes;
        if (this.total > MESSAGES_AT_ONCE * this.messageBytes) this.endLongest();
      },
      release: () => {
        if (this.shares.delete(share)) this.total -= entry.bytes;
      },
    };
    this.shares.set(share, entry);
    return share;
  }

  private endLongest(): void {
    let longest: [Share, { bytes: number; end: (failure: Failure) => void }] | undefined;
    for (const each of this.shares) {
      if (longest === undefined || each[1].bytes > longest[1].bytes) longest = each;
    }
    if (longest === undefined) return;
    const [share, { end }] = longest;
    share.release();
    end(oversized('too many long messages at the same time'));
  }
}
