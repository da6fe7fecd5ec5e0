import type { Revision } from '../../backplane/revision.js';
import type { JsonRpcMessage, JsonRpcRequest, RequestId } from '../../protocol/json/jsonrpc.js';
import { isNotification } from '../../protocol/json/jsonrpc.js';
import type { EarlyCall } from './early-call.js';

/** A request of the client that this node runs. */
export interface Call {
  request: JsonRpcRequest;
  stream: string;
  /** The revision that the replica was at when it got the request. */
  revision?: Revision | undefined;
  /**
   * For a request that runs again: the highest progress, by token, that the client has had. Progress up to it is not shown
   * again.
   */
  shown?: ReadonlyMap<unknown, number> | undefined;
  /** The requests of the stream: how many there were, and how many of them do not have a stored end yet. */
  batch: { size: number; open: number };
  /**
   * True if the client has cancelled the request. Its end then does not count as an error, though JSON mode needs an error
   * as the answer.
   */
  cancelled?: boolean;
  /** Set if the request began before it was stored. */
  early?: EarlyCall | undefined;
}

/** Counts requests of one kind on this node, and can wait until there are none. */
export class RunningCount {
  private count = 0;
  private waiting: (() => void)[] = [];

  get size(): number {
    return this.count;
  }

  begin(): void {
    this.count += 1;
  }

  end(): void {
    this.count -= 1;
    if (this.count === 0) for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Resolves when the count is 0, which may be at once. */
  async none(): Promise<void> {
    if (this.count > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}

/** The running requests of one session on this node. */
export class RunningCalls {
  private readonly byId = new Map<RequestId, Call>();

  constructor(private readonly running: RunningCount) {}

  get size(): number {
    return this.byId.size;
  }

  add(call: Call): void {
    if (!this.byId.has(call.request.id)) this.running.begin();
    this.byId.set(call.request.id, call);
  }

  get(id: RequestId | undefined): Call | undefined {
    return id === undefined ? undefined : this.byId.get(id);
  }

  /**
   * Returns a call that the server has got. Before it gets a request, a message about the id comes from a former request with
   * that id, which is being stopped.
   */
  delivered(id: RequestId | undefined): Call | undefined {
    const call = this.get(id);
    return call?.revision === undefined ? undefined : call;
  }

  /** Takes a call out of the table. The caller that gets it has to end it, so that a call is ended once. */
  take(id: RequestId | undefined): Call | undefined {
    const call = this.get(id);
    if (call !== undefined && this.byId.delete(call.request.id)) this.running.end();
    return call;
  }

  withMethod(method: string): JsonRpcRequest[] {
    return this.all().flatMap(({ request }) => (request.method === method ? request : []));
  }

  ofStream(stream: string): Call[] {
    return this.all().filter((call) => call.stream === stream);
  }

  all(): Call[] {
    return [...this.byId.values()];
  }

  takeAll(): Call[] {
    return [...this.byId.keys()].flatMap((id) => this.take(id) ?? []);
  }
}

/** Whether the client has had this progress from the node that ran the request first. */
export function wasShown({ shown }: Call, message: JsonRpcMessage): boolean {
  if (shown === undefined || !isNotification(message)) return false;
  if (message.method !== 'notifications/progress') return false;
  const progress = message.params?.progress;
  const before = shown.get(message.params?.progressToken);
  return before !== undefined && typeof progress === 'number' && progress <= before;
}
