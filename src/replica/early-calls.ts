import type { Limits } from '../options/limits.js';
import type { JsonRpcMessage, JsonRpcRequest, JsonRpcResponse } from '../protocol/json/jsonrpc.js';
import { isNotification } from '../protocol/json/jsonrpc.js';
import type { DeliveryContext } from './replica.js';
import { ReadOnlyRequests } from './read-only-requests.js';
import type { ReplicaTransport } from './replica-transport.js';
import type { EarlyCall } from './requests/early-call.js';
import { HeldCalls } from './requests/early-call.js';
import { takenOver } from './requests/request-errors.js';
import type { Call, RunningCalls } from './requests/running-calls.js';

/** The requests of a session that begin on this node before they are stored. */
export class EarlyCalls {
  private readonly held = new HeldCalls();
  private readonly readOnly = new ReadOnlyRequests();

  constructor(
    private readonly calls: RunningCalls,
    private readonly limits: Pick<Limits, 'requestsPerSession'>,
    private readonly session: {
      transport: () => ReplicaTransport | undefined;
      /** See `LiveSession.call`. */
      run: (request: JsonRpcRequest, context: DeliveryContext) => void;
    },
  ) {}

  /**
   * Whether a request may begin before it is stored: it changes nothing, there is a server object, no request with this id runs
   * here, and not too many run. The backplane may still refuse it.
   */
  mayBegin(request: JsonRpcRequest): boolean {
    const transport = this.session.transport();
    return (
      transport !== undefined &&
      this.calls.size < this.limits.requestsPerSession &&
      this.calls.get(request.id) === undefined &&
      this.readOnly.includes(request, transport)
    );
  }

  /** Begins a request. It is held back, and stored before anything else of the session. */
  begin(call: Call & { early: EarlyCall }, context: DeliveryContext): void {
    this.calls.add(call);
    this.held.hold(call.early);
    this.session.run(call.request, context);
  }

  /** Stores what is held back, before anything else of the session that is stored from now on. */
  storeHeld(): void {
    this.held.release();
  }

  /**
   * Sees to it that the request `call` is stored before this message of the server. Returns whether the message may be stored, or
   * `undefined` if it may be stored at once.
   */
  storeBefore(message: JsonRpcMessage, call: Call | undefined): Promise<boolean> | undefined {
    if (isNotification(message) && message.method === 'notifications/tools/list_changed') {
      this.readOnly.forget();
    }
    this.held.release();
    return call?.early?.open().then(({ kind }) => kind === 'opened');
  }

  /** Stops a request. Nothing that it says is stored or shown, and it may begin again. */
  withdraw({ id }: JsonRpcRequest, early: EarlyCall): void {
    if (this.calls.get(id)?.early === early) {
      this.calls.take(id);
      this.session.transport()?.deliver(takenOver(id));
    }
    early.settle({ kind: 'withdrawn' });
  }

  /** Learns from each answer which requests change nothing. */
  learn(request: JsonRpcRequest, response: JsonRpcResponse | undefined): void {
    const transport = this.session.transport();
    if (transport !== undefined) this.readOnly.learn(request, response, transport);
  }
}
