/** What a picture of a session consists of. Times are milliseconds since the epoch. A `key` is the id of an event. */

export interface Timeline {
  /** The nodes, in the order in which they appear. */
  nodes: string[];
  bars: Bar[];
  marks: Mark[];
  stretches: Stretch[];
  /** The nodes that have died or were closed, as far as it is known. */
  dead: string[];
  from: number;
  to: number;
}

/**
 * - `ok`: answered with a result.
 * - `tool_error`: answered with a result that says that the tool failed.
 * - `error`: answered with an error.
 * - `cancelled`: the asking side took the request back, or the session ended.
 * - `lost`: the node that ran the request died or was closed.
 * - `pending`: it still runs.
 * - `unknown`: it was answered, but this reader cannot read the answer.
 */
export type Outcome = 'ok' | 'tool_error' | 'error' | 'cancelled' | 'lost' | 'pending' | 'unknown';

/** A request and its answer. */
export interface Bar {
  key: string;
  /** `call`: a request of the client. `question`: a request of the server to the client. */
  kind: 'call' | 'question';
  method: string;
  name?: string;
  /** The name of the tool or prompt, or else the method. */
  label: string;
  requestId: string | number;
  stream?: string;
  start: number;
  end?: number;
  /** The event that ended it. */
  endKey?: string;
  outcome: Outcome;
  /** A call: the node that received it. A question: the node that asked. */
  receivedBy?: string;
  /** The node that ran the call, once the answer tells it. */
  ranBy?: string;
  /** The node that ran the call before, and died. */
  ranBefore?: string;
  /** How many times another node ran the call again. */
  reruns: number;
  /** The node that ended the call of a dead node. */
  endedBy?: string;
  /** The node that showed the answer of a call, or the question. `null`: no connection was there. */
  shownBy?: string | null;
  /** The node that received the client's answer to the question. */
  answeredBy?: string;
  cancelledAt?: number;
  cancelledBy?: string;
  /** The `key` of the call during which the question was asked. */
  parent?: string;
  /** How many notifications belong to the call. */
  messages: number;
  code?: number;
  reason?: string;
  /** True: the call still runs for all that the log tells, but its node is dead. */
  stranded?: true;
  /** One sentence that says why it failed, or what it waits for. */
  why?: string;
  traceId?: string;
}

/** Something that happened at one moment. */
export interface Mark {
  key: string;
  at: number;
  kind:
    | 'message'
    | 'created'
    | 'initialized'
    | 'closed'
    | 'cancelled'
    | 'cut'
    | 'resumed'
    | 'moved'
    | 'recovered'
    | 'failed'
    | 'died'
    | 'owner'
    | 'trimmed';
  /** The node on which it happened. */
  node?: string;
  /** The node that showed the message. `null`: no connection was there. */
  shownBy?: string | null;
  direction?: 'in' | 'out';
  method?: string;
  /** The node before: of a move, a resume, a recovered or failed request. */
  from?: string;
  stream?: string;
  /** How many resumes before this one are not in the log. */
  skipped?: number;
  /** How many messages had waited for the client to come back. */
  waited?: number;
}

/** The time in which a node held the connection of a stream, as far as the log tells. */
export interface Stretch {
  stream: string;
  node: string;
  from: number;
  /** Left out: it is still open. */
  to?: number;
}
