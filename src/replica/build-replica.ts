import type { SessionRecord } from '../backplane/backplane.js';
import { AnynodeError } from '../protocol/errors.js';
import type { JsonRpcRequest } from '../protocol/json/jsonrpc.js';
import { infoOf } from './session-info.js';
import type {
  Cause,
  Factory,
  FactoryContext,
  Mounted,
  ReplayMessage,
  ReplicaEvents,
} from './replica.js';
import type { OutgoingRequests } from './requests/outgoing-requests.js';
import { isUninitialized, requestsBetween, shapeOf, UNSHAPED } from './session-shape.js';
import type { Shape } from './session-shape.js';
import { dropNotifications } from './drop-notifications.js';
import { ReplicaTransport } from './replica-transport.js';
import type { Logger, ServerLike } from '../options/public-types.js';
import type { Clock } from '../protocol/timing/clock.js';

/** The transport of a replica, and how to discard the replica. */
export interface BuiltReplica {
  transport: ReplicaTransport;
  /** Closes the transport and the server. Never rejects. */
  discard(): Promise<void>;
}

/** How long a server may take to answer a replay. */
const REPLAY_MS = 30_000;

/** Builds the replicas of this node's sessions, and replays to each what its session has told the server before. */
export class ReplicaBuilder {
  constructor(
    private readonly factory: Factory,
    private readonly outgoingRequests: OutgoingRequests,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** Calls the factory and connects the server that it returns. Rejects with the factory's own error. */
  async connect(
    context: FactoryContext,
    mounted: Mounted | undefined,
    eventsOf: (replica: () => BuiltReplica) => ReplicaEvents,
  ): Promise<BuiltReplica> {
    const { logger } = this;
    const server: ServerLike = await this.factory(context, mounted);
    const transport: ReplicaTransport = new ReplicaTransport(
      context.session.id,
      this.outgoingRequests,
      eventsOf(() => replica),
    );
    const replica: BuiltReplica = {
      transport,
      async discard() {
        let warned = false;
        try {
          dropNotifications(server, () => {
            if (warned) return;
            warned = true;
            logger.warn(
              'mcp-anynode: a server goes on sending notifications after it was closed, which go nowhere; `server.onclose` is the place to end its timers',
            );
          });
          transport.shutDown();
          await server.close();
        } catch (error) {
          logger.warn(`mcp-anynode: closing a server failed: ${String(error)}`);
        }
      },
    };
    await server.connect(transport);
    return replica;
  }

  /** Builds a replica on a node that has none, from the stored record. */
  async rehydrate(
    record: SessionRecord,
    cause: Cause | undefined,
    eventsOf: (replica: () => BuiltReplica) => ReplicaEvents,
  ): Promise<BuiltReplica> {
    const session = infoOf(record);
    if (session.unreadable === true) {
      throw new AnynodeError('undecodable', 'What the client said at initialize cannot be decoded');
    }
    const context = {
      ...{ session, rehydrated: !isUninitialized(record) },
      ...{ authInfo: cause?.authInfo, requestInfo: cause?.requestInfo },
    };
    const built = await this.connect(context, cause?.mounted, eventsOf);
    try {
      await this.replayShape(built.transport, UNSHAPED, shapeOf(record));
      // Only the server itself can have closed the transport at this point.
      if (built.transport.closed)
        throw new Error('The server closed while it was told its session');
      return built;
    } catch (error) {
      await built.discard();
      throw error;
    }
  }

  /** Brings a replica from one shape to another by replaying messages. Rejects if the server does not answer in time. */
  async replayShape(transport: ReplicaTransport, from: Shape, to: Shape): Promise<void> {
    const messages: ReplayMessage[] = [];
    if (to.initialize !== undefined && from.initialize === undefined) {
      const params = JSON.parse(to.initialize) as JsonRpcRequest['params'];
      const initialize = { method: 'initialize', expectsAnswer: true };
      messages.push({ ...initialize, ...(params !== undefined && { params }) });
    }
    if (to.active && !from.active) {
      messages.push({ method: 'notifications/initialized', expectsAnswer: false });
    }
    for (const { method, params } of requestsBetween(from, to)) {
      messages.push({ method, params: { ...params }, expectsAnswer: true });
    }
    if (messages.length === 0) return;
    let cancelTimer = (): void => undefined;
    const timeout = new Promise<never>((_, reject) => {
      cancelTimer = this.clock.after(REPLAY_MS, () =>
        reject(new AnynodeError('request_timeout', 'The server did not answer the replay in time')),
      );
    });
    try {
      await Promise.race([transport.replay(messages), timeout]);
    } finally {
      cancelTimer();
    }
  }
}
