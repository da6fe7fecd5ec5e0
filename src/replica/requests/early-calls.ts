import type { Limits } from '../../options/limits.js';
import type { JsonRpcMessage, JsonRpcRequest } from '../../protocol/json/jsonrpc.js';
import { isNotification, isResponse } from '../../protocol/json/jsonrpc.js';
import type { DeliveryContext } from '../replica.js';
import { ReadOnlyRequests } from './read-only-requests.js';
import type { ReplicaTransport } from '../replica-transport.js';
import type { EarlyCall } from './early-call.js';
import { HeldCalls } from './early-call.js';
import { takenOver } from './request-errors.js';
import type { Call, RunningCalls } from './running-calls.js';

/** The requests of a session that begin on this node before they are stored. */
export class EarlyCalls {
  private readonly held = new HeldCalls();
  private readonly readOnly = new ReadOnlyRequests();
  /** How many requests have begun and are not stored yet. They may have been answered. */
  private unstored = 0;
  /**
   * Resolves when all messages of the server that wait for their turn have been submitted. The end of a request comes after them.
   * `undefined`: none waits.
   */
  lastSaid: Promise<void> | undefined;

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
   * Whether a request may begin before it is stored. It may if it changes nothing, there is a server object, no request with this
   * id runs here, and not too many run or have answers that wait to be stored. The backplane may still refuse it.
   */
  mayBegin(request: JsonRpcRequest): boolean {
    const transport = this.session.transport();
    const most = this.limits.requestsPerSession;
    return (
      transport !== undefined &&
      this.calls.size < most &&
      this.unstored < most &&
      this.calls.get(request.id) === undefined &&
      this.readOnly.includes(request, transport)
    );
  }

  /** Begins a request. It is held back, and stored before anything else of the session. */
  begin(call: Call, early: EarlyCall, context: DeliveryContext): void {
    this.calls.add(call);
    this.held.hold(early);
    this.unstored += 1;
    void early.outcome.then(() => (this.unstored -= 1));
    this.session.run(call.request, context);
  }

  /** Stores what is held back, before anything else of the session that is stored from now on. */
  storeHeld(): void {
    this.held.release();
  }

  /** Learns from each message of the server, in the order in which the server sends them. */
  observe(message: JsonRpcMessage): void {
    if (isResponse(message)) {
      const call = this.calls.get(message.id);
      const transport = this.session.transport();
      if (call !== undefined && transport !== undefined)
        this.readOnly.learn(call.request, message, transport);
      return;
    }
    if (isNotification(message) && message.method === 'notifications/tools/list_changed') {
      this.readOnly.forget();
    }
    // In the log, a message comes after the requests that were there before.
    this.held.release();
  }

  /**
   * Calls `store`, which stores a message of the server, in the order in which the server sends them. If the message belongs to a
   * request that is not stored yet, it waits until the request is stored, and so does everything after it. If the request is
   * withdrawn, the message is not stored.
   */
  async inOrder<T>(call: Call | undefined, store: () => Promise<T>): Promise<T | 'withdrawn'> {
    const early = call?.early;
    if (early === undefined && this.lastSaid === undefined) return store();
    early?.open();
    let stored: Promise<T | 'withdrawn'> = Promise.resolve('withdrawn');
    const turn = Promise.all([this.lastSaid, early?.outcome]).then(([, outcome]) => {
      if (this.lastSaid === turn) this.lastSaid = undefined;
      // An exception of `store` becomes a rejection of its caller alone.
      if (outcome?.kind !== 'withdrawn') stored = (async () => store())();
    });
    this.lastSaid = turn;
    await turn;
    return stored;
  }

  /** Stops a request. Nothing that it says is stored or shown, and it may begin again. */
  withdraw({ id }: JsonRpcRequest, early: EarlyCall): void {
    if (this.calls.get(id)?.early === early) {
      this.calls.take(id);
      this.session.transport()?.deliver(takenOver(id));
    }
    early.settle({ kind: 'withdrawn' });
  }
}
