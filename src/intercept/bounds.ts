/** What a server behind this library may send. `docs/reference/limits.md` has the list. */
import type { JsonShape } from '../protocol/json-shape.js';
import { Failure } from './failure.js';

/** All messages of the server that a node is reading at one moment, as a multiple of the longest that is allowed. */
export const MESSAGES_AT_ONCE = 8;
/** One message, before it is parsed. Deeper nesting could not be written as JSON again on every stack. */
export const MESSAGE_SHAPE: JsonShape = { depth: 1_000, values: 250_000 };
/** Messages in one JSON body. */
export const BATCH_SIZE = 1_000;
/** Ids of requests, progress tokens, event ids, and names of methods. */
export const LONGEST_ID = 1_024;
/** The version in an answer to `initialize`, which becomes a header. */
export const LONGEST_VERSION = 64;
/** The answer to a handshake, and all that the server says before it. Each message counts `MESSAGE_COST` more. */
export const HANDSHAKE_BYTES = 4 * 1024 * 1024;
export const MESSAGE_COST = 4_096;
/** Of the body of a response whose status is no success, or that nobody needs. */
export const REFUSAL_BYTES = 64 * 1024;
/** Responses with a status of 1xx to one request. */
export const INTERIM_RESPONSES = 1_000;
/** What the server may ask its clients to wait for before they come back to a stream. */
export const LEAST_RETRY_MS = 100;
export const MOST_RETRY_MS = 30_000;
/** Memory that a piece of text takes besides its characters, however short it is. */
const PIECE_COST = 32;

/** Messages that ask for no answer, and wait for the server: beyond that a session is stuck, and its server object ends. */
export const STUCK_BYTES = 32 * 1024 * 1024;

/** What a piece of text takes in memory. */
export function costOf(piece: string): number {
  return Buffer.byteLength(piece) + PIECE_COST;
}

/** The server has sent more than a bound allows. The text is shown to the client. */
export function oversized(what: string): Failure {
  return new Failure('server_oversized', what);
}

/** What one response has brought of messages that are not whole yet. */
export interface Share {
  /** It takes so many bytes now. Throws a {@link Failure} if that is more than one message may have. */
  hold(bytes: number): void;
  release(): void;
}

/**
 * Bounds the memory of messages that are not whole yet: of each one, and of all on this node together. Where all
 * together are too many, the longest ends, since many short ones of other sessions must not give way to it.
 */
export class MemoryBudget {
  private readonly shares = new Map<Share, { bytes: number; end: (failure: Failure) => void }>();
  private total = 0;

  constructor(private readonly messageBytes: number) {}

  /** `end` is called if this response has to end for the sake of others. `atMost`: if less than usual. */
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
