import type { NewSession, Position } from '../backplane/backplane.js';
import type { JsonRpcRequest } from '../protocol/jsonrpc.js';
import type { AuthInfo } from '../options/types.js';
import { hearsOf, InitializeExchange } from '../replica/initialize/initialize-exchange.js';
import { loggedInitialize } from '../replica/initialize/logged-initialize.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { NodeContext } from '../stream/node-context.js';
import type { OpenedStreams } from '../stream/opened-streams.js';
import { SessionQuotas } from './session-quotas.js';

/** Makes sessions, within the number that a caller may have. */
export class SessionStart {
  private readonly quotas: SessionQuotas;

  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly names: OpenedStreams,
  ) {
    this.quotas = new SessionQuotas(node.clock);
  }

  /**
   * Answers `initialize`: with a new session where the server agrees, else with the server's error. Resolves when both
   * are stored, so that the next request may reach any node. Rejects like {@link LiveSession.beginWith}.
   */
  async initialize(
    request: JsonRpcRequest,
    session: Pick<NewSession, 'id' | 'principal' | 'most'> & { authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
  ): Promise<{ birth: InitializeExchange; positions: Position[] }> {
    const { node } = this;
    this.quotas.check(session.principal);
    const live = this.pool.make(session.id);
    const birth = new InitializeExchange(request, this.names.nextName(), node.clock);
    const now = node.clock.now();
    const params = request.params ?? {};
    const info = {
      id: session.id,
      state: 'initialized' as const,
      clientInfo: params.clientInfo as { name: string; version: string },
      clientCapabilities: params.capabilities as Record<string, unknown>,
      protocolVersion: params.protocolVersion as string,
      createdAt: now,
      lastSeenAt: now,
      logLevel: undefined,
      subscriptions: [],
      owner: node.settings.owned ? node.nodeId : undefined,
    };
    let positions: Position[] = [];
    this.pool.makeRoom();
    const context = { session: info, authInfo: session.authInfo };
    await live.beginWith(birth, context, delivery, async ({ answer }) => {
      if (answer === undefined || !('result' in answer)) throw new InitializeRefused(birth);
      const initialize = JSON.stringify(params);
      const created = await this.quotas.watch(session.principal, () =>
        node.membership.create({
          id: session.id,
          initialize,
          protocolVersion: String(answer.result.protocolVersion),
          principal: session.principal,
          hears: hearsOf(answer.result.capabilities),
          owned: node.settings.owned,
          inbound: loggedInitialize(request, initialize),
          stream: birth.stream,
          outbound: birth.outbound,
          most: session.most,
        }),
      );
      if (created === false) throw idInUse(session.id);
      positions = created;
      live.principal = session.principal;
      this.pool.add(live);
    });
    this.pool.trim();
    return { birth, positions };
  }

  /**
   * Makes a session whose `initialize` is to come, and to be answered as a request like any other (HTTP+SSE). Rejects
   * with {@link TooManySessions}, and where the id is taken.
   */
  async reserve(session: Pick<NewSession, 'id' | 'principal' | 'most'>): Promise<void> {
    const { node, quotas, names } = this;
    quotas.check(session.principal);
    const created = await quotas.watch(session.principal, () =>
      node.membership.create({
        ...{ ...session, initialize: '{}', protocolVersion: '', hears: [], outbound: [] },
        stream: names.nextName(),
      }),
    );
    if (created === false) throw idInUse(session.id);
  }
}

function idInUse(id: string): Error {
  return new Error(`sessionIdGenerator returned an id that is in use: ${id}`);
}

/** The server answered `initialize` with an error: there is no session. */
export class InitializeRefused extends Error {
  constructor(readonly birth: InitializeExchange) {
    super('The server refused to initialize');
  }
}
