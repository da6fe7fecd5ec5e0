import { setImmediate } from 'node:timers';
import type {
  ExchangeOperation,
  OpenOperation,
  OperationResult,
} from '../../backplane/backplane.js';
import { LOG_START } from '../../backplane/backplane.js';
import type { Revision } from '../../backplane/revision.js';
import { auditFull } from '../../protocol/errors.js';
import { isRequest } from '../../protocol/json/jsonrpc.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { EarlyAnswer } from '../../replica/requests/early-call.js';
import { EarlyCall } from '../../replica/requests/early-call.js';
import type { Call } from '../../replica/requests/running-calls.js';
import type { BegunStreams } from '../../stream/begun-streams.js';
import type { Committed } from '../../stream/commit-queue.js';
import { deliverToFollower } from '../../stream/followers/deliver-to-followers.js';
import type { NodeContext } from '../../stream/node-context.js';
import { isShownOnStandalone } from '../../stream/shown-on.js';
import type { Inbound } from '../messages/client-messages.js';
import type { NewStream, NotStored, StoredRequests } from './stored-requests.js';
import { GONE, openOperation, refusedBy } from './stored-requests.js';

type Stored = Omit<StoredRequests, 'unpin'>;

/**
 * Begins requests that change nothing before they are stored (see docs/decisions/0025-begin-before-storing.md). If the answer is
 * there soon enough, one step stores both.
 *
 * Such a request is begun with what this node knows of its session, which may be out of date. What the backplane says of the step
 * decides: if it refuses the request, or the replica was not current, nothing of what the server has said is stored or shown.
 */
export class EarlyIntake {
  constructor(
    private readonly node: NodeContext,
    private readonly begunStreams: BegunStreams,
  ) {}

  /** Begins and stores the request of a POST. Resolves with `undefined` if it has to be stored before it begins. */
  async store(
    live: LiveSession,
    inbound: Inbound,
    stream: NewStream,
    context: DeliveryContext,
  ): Promise<Stored | NotStored | undefined> {
    const { settings, clock } = this.node;
    const [request, another] = inbound.messages;
    // Only the principal that this node knows from an earlier step may make the server do something.
    if (!settings.earlyReads || live.principal !== inbound.principal) return undefined;
    if (request === undefined || another !== undefined || !isRequest(request)) return undefined;
    const { revision } = live;
    if (revision === undefined || isShownOnStandalone(stream.name)) return undefined;
    if (!live.early.mayBegin(request)) return undefined;

    const askedAt = clock.elapsed();
    const open = openOperation(this.node, { ...inbound, requests: [request] }, stream, revision);
    let answer: EarlyAnswer | undefined;
    let send: (committed: Promise<Committed | 'gone'>) => void = () => undefined;
    const committing = new Promise<Committed | 'gone'>((resolve) => (send = resolve));
    const early = new EarlyCall((given) => {
      answer = given;
      const operation = given === undefined ? open : exchangeOf(open, revision, given);
      send(this.node.commitQueue.submit(live.id, [operation]));
    });
    const call: Call = { request, stream: stream.name, batch: { size: 1, open: 1 }, early };
    live.early.begin(call, early, withLateHangUp(context, early));

    let stored: Stored | NotStored | undefined;
    try {
      const committed = await committing;
      stored = this.storedBy(committed, { live, call, early, answer, askedAt }, stream);
    } finally {
      if (stored === undefined || !('begun' in stored)) live.early.withdraw(request, early);
    }
    const isToRun = stored === undefined || ('live' in stored && stored.begun === undefined);
    if (isToRun) {
      // The request runs again. Before that, the server gets a turn of the event loop to cancel it.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return stored;
  }

  /** Says what the step has stored. `undefined`: nothing, because the replica was not current. */
  private storedBy(
    committed: Committed | 'gone',
    { live, call, early, answer, askedAt }: Begun,
    { name: stream, token }: NewStream,
  ): Stored | NotStored | undefined {
    if (committed === 'gone') return GONE;
    const { reply, results } = committed;
    const [result] = results;
    const stored = {
      ...{ live, messages: [call.request], others: [], otherResults: [], committed, askedAt },
      ...{ stream, owner: undefined },
    };
    switch (result?.status) {
      case 'exchanged':
      case 'repeated': {
        const shown: OperationResult =
          result.status === 'repeated'
            ? result
            : { status: 'appended', position: result.answered, token, ended: true };
        const operation = { type: 'append', stream, message: answer?.message } as const;
        return {
          ...stored,
          position: result.status === 'repeated' ? BEGINNING : result.asked,
          begun: (followers) => {
            if (followers) deliverToFollower(followers, live.id, operation, shown);
            early.settle({ kind: 'exchanged', revision: reply.revision });
          },
        };
      }
      case 'opened':
        if (reply.record !== undefined) {
          // The replica was not current. The request is stored, and runs anew.
          live.followedBy = reply.followedBy;
          return { ...stored, position: result.position };
        }
        return {
          ...stored,
          position: result.position,
          begun: (followers) => {
            if (followers === undefined) {
              live.early.withdraw(call.request, early);
              return;
            }
            this.begunStreams.noteOpened(stream);
            // From now on it is a call like any other.
            call.early = undefined;
            early.settle({ kind: 'opened' });
          },
        };
      case 'stale':
        return undefined;
      case 'denied':
        return GONE;
      case 'full':
        throw auditFull();
      default:
        return refusedBy(result);
    }
  }
}

/** A request that has begun. `answer` is what was stored with it. */
interface Begun {
  live: LiveSession;
  call: Call;
  early: EarlyCall;
  answer: EarlyAnswer | undefined;
  askedAt: number;
}

const BEGINNING = { n: 0, logId: LOG_START };

function exchangeOf(
  { principal, stream, requests, messages, most, trace }: OpenOperation,
  revision: Revision,
  { message: answer, failed }: EarlyAnswer,
): ExchangeOperation {
  const [request = ''] = requests;
  const [message = ''] = messages;
  return {
    ...{ type: 'exchange', principal, stream, request, message, answer, revision },
    ...(failed && { failed }),
    ...(most !== undefined && { most }),
    ...(trace !== undefined && { trace }),
  };
}

/** A connection can be ended only after it has begun to follow the stream of its request. */
function withLateHangUp(context: DeliveryContext, early: EarlyCall): DeliveryContext {
  const { closeSSEStream } = context;
  if (closeSSEStream === undefined) return context;
  return {
    ...context,
    closeSSEStream: () => {
      early.open();
      void early.outcome.then(closeSSEStream);
    },
  };
}
