/** How a call ended, as its client saw it. */
export type CallEnd =
  | 'result'
  /** JSON-RPC errors that say what became of the node. */
  | 'node_lost'
  | 'node_closed'
  /** Any other JSON-RPC error. */
  | 'error'
  /** The client gave it up, and its stream ended without an answer. */
  | 'cancelled'
  /** 503: it was not started. */
  | 'refused'
  /** The connection broke, or the balancer said 502, before there was a response: the client can't know. */
  | 'no response'
  /** The response broke off before there was an event id to come back with: the same. */
  | 'no cursor'
  /** Its stream has ended, and there was no answer on it. */
  | 'unanswered'
  /** 404 in the middle of it. */
  | 'session lost'
  /** Any other status. */
  | 'unexpected';

export interface Call {
  /** Unique in the run: `<client>:<number>`. */
  key: string;
  tool: string;
  begun: number;
  ended?: number;
  end?: CallEnd;
  detail?: string;
  cancelled: boolean;
  /** How often its stream was resumed. */
  resumed: number;
  progress: number[];
  repeated: string[];
  /** What happened to it, in order. */
  story: string[];
}

/** A notification that was sent to a client from outside of any call. */
export interface Sent {
  n: number;
  at: number;
  outcome: 'pending' | 'accepted' | 'unknown';
}

export interface Arrival {
  /** `<key> <n>` of what a call has said, `<n>` of what came from outside. */
  name: string;
  at: number;
}

/** What one client has done and seen. */
export class Ledger {
  readonly calls: Call[] = [];
  readonly sent: Sent[] = [];
  readonly arrivals: Arrival[] = [];
  /** Event ids that came a second time on the session's own stream. */
  readonly repeated: string[] = [];
  /** Answers that make no sense: an HTTP status for a stream, a message that nobody asked for. */
  readonly strange: string[] = [];
  /** How often the session's own stream was resumed. */
  resumed = 0;
  /** 503 for anything but a call. */
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
    // A call that is resumed over and over says so in its count.
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
