/** How a call ended, as its client saw it. */
export type CallEnd =
  | 'result'
  /** JSON-RPC errors that say what happened to the node. */
  | 'node_lost'
  | 'node_closed'
  /** Any other JSON-RPC error. */
  | 'error'
  /** The client cancelled the call, and its stream ended without an answer. */
  | 'cancelled'
  /** The node answered 503, so the call was not started. */
  | 'refused'
  /**
   * The connection broke before there was a response, or the balancer answered 502. The client cannot know whether the call
   * ran.
   */
  | 'no response'
  /** The response broke off before the client had an event id to resume with. The client cannot know whether the call ran. */
  | 'no cursor'
  /** The stream of the call has ended without an answer. */
  | 'unanswered'
  /** The client got 404 while it followed the call. */
  | 'session lost'
  /** Any other status. */
  | 'unexpected';

export interface Call {
  /** The key of the call, which is unique in the run: `<client>:<number>`. */
  key: string;
  tool: string;
  begun: number;
  ended?: number;
  end?: CallEnd;
  detail?: string;
  cancelled: boolean;
  /** How often the stream of the call was resumed. */
  resumed: number;
  progress: number[];
  repeated: string[];
  /** What happened to the call, in order. */
  story: string[];
}

/** A notification that was sent to a client from outside of any call. */
export interface Sent {
  n: number;
  at: number;
  outcome: 'pending' | 'accepted' | 'unknown';
}

export interface Arrival {
  /** `<key> <n>` for a message of a call, `<n>` for a notification from outside. */
  name: string;
  at: number;
}

/** All that one client has done and seen. */
export class Ledger {
  readonly calls: Call[] = [];
  readonly sent: Sent[] = [];
  readonly arrivals: Arrival[] = [];
  /** Events that came a second time on the session's GET stream. */
  readonly repeated: string[] = [];
  /** Responses that must not occur: an HTTP status instead of a stream, or a message of an unexpected kind. */
  readonly strange: string[] = [];
  /** How often the session's GET stream was resumed. */
  resumed = 0;
  /** How many requests other than calls got 503. */
  refused = 0;

  constructor(
    readonly client: string,
    private readonly since: number,
  ) {}

  begin(tool: string): Call {
    const call: Call = {
      key: `${this.client}:${this.calls.length + 1}`,
      tool,
      begun: Date.now(),
      cancelled: false,
      resumed: 0,
      progress: [],
      repeated: [],
      story: [],
    };
    this.calls.push(call);
    return call;
  }

  note(call: Call, what: string): void {
    // The story of a call that is resumed very often is cut. `resumed` has the count.
    if (call.story.length < 40) call.story.push(`${this.time()} ${what}`);
  }

  end(call: Call, end: CallEnd, detail?: string): void {
    call.end = end;
    call.ended = Date.now();
    if (detail !== undefined) call.detail = detail;
    this.note(call, detail === undefined ? end : `${end} (${detail})`);
  }

  say(what: string): void {
    this.strange.push(`${this.client} ${this.time()} ${what}`);
  }

  private time(): string {
    return `+${((Date.now() - this.since) / 1000).toFixed(2)}s`;
  }
}
