import type { NewSession, Position } from '../backplane/backplane.js';
import type { JsonRpcRequest } from '../protocol/json/jsonrpc.js';
import type { AuthInfo } from '../options/public-types.js';
import { hearsOf, InitializeExchange } from '../replica/initialize/initialize-exchange.js';
import { loggedInitialize } from '../replica/initialize/logged-initialize.js';
import { principalOf } from '../replica/session-info.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { NodeContext } from '../stream/node-context.js';
import type { OpenedStreams } from '../stream/opened-streams.js';
import { SessionQuotas } from './session-quotas.js';

/** Creates sessions, within the number that a principal may have. */
export class SessionStart {
  private readonly quotas: SessionQuotas;

  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly openedStreams: OpenedStreams,
  ) {
    this.quotas = new SessionQuotas(node.clock);
  }

  /**
   * Answers `initialize` with a new session, or with the server's error if the server refuses. Resolves when session and
   * answer are stored, so that the next request may reach any node. Rejects like {@link LiveSession.beginWith}.
   */
  async initialize(
    request: JsonRpcRequest,
    session: Pick<NewSession, 'id' | 'principal' | 'most'> & { authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
  ): Promise<{ exchange: InitializeExchange; positions: Position[] }> {
    const { node } = this;
    this.quotas.check(session.principal);
    const live = this.pool.make(session.id);
    const exchange = new InitializeExchange(request, this.openedStreams.nextName(), node.clock);
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
      errors: 0,
      principal: principalOf(session.principal),
      owner: node.settings.owned ? node.nodeId : undefined,
    };
    let positions: Position[] = [];
    this.pool.makeRoom();
    const context = { session: info, authInfo: session.authInfo };
    await live.beginWith(exchange, context, delivery, async ({ answer }) => {
      if (answer === undefined || !('result' in answer)) throw new InitializeRefused(exchange);
      const initialize = JSON.stringify(params);
      const created = await this.quotas.watch(session.principal, () =>
        node.backplane.create({
          id: session.id,
          initialize,
          protocolVersion: String(answer.result.protocolVersion),
          principal: session.principal,
          hears: hearsOf(answer.result.capabilities),
          owned: node.settings.owned,
          inbound: loggedInitialize(request, initialize),
          stream: exchange.stream,
          outbound: exchange.outbound,
          most: session.most,
        }),
      );
      if (created === false) throw idInUse(session.id);
      positions = created;
      live.principal = session.principal;
      this.pool.add(live);
    });
    this.pool.trim();
    return { exchange, positions };
  }

  /**
   * Creates a session before its `initialize`, which is answered later like any other request (HTTP+SSE). Rejects with
   * {@link TooManySessions}, and if the id is in use.
   */
  async reserve(session: Pick<NewSession, 'id' | 'principal' | 'most'>): Promise<void> {
    const { node, quotas, openedStreams } = this;
    quotas.check(session.principal);
    const created = await quotas.watch(session.principal, () =>
      node.backplane.create({
        ...{ ...session, initialize: '{}', protocolVersion: '', hears: [], outbound: [] },
        stream: openedStreams.nextName(),
      }),
    );
    if (created === false) throw idInUse(session.id);
  }
}

function idInUse(id: string): Error {
  return new Error(`sessionIdGenerator returned an id that is in use: ${id}`);
}

/** The server answered `initialize` with an error, so no session was created. */
export class InitializeRefused extends Error {
  constructor(readonly exchange: InitializeExchange) {
    super('The server refused to initialize');
  }
}
