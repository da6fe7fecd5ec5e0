import { closeInOrder, closeWithServer } from './close-node.js';
import type { Receivers } from './dispatch.js';
import { dispatch } from './dispatch.js';
import { STANDALONE } from './backplane/backplane.js';
import { BackplaneWatch } from './execution/recovery/backplane-watch.js';
import { randomNodeId } from './execution/node-id.js';
import { NodeWatch } from './execution/recovery/node-watch.js';
import { OwnerHandover } from './execution/owner-handover.js';
import { OpenerWatch } from './execution/recovery/opener-watch.js';
import { OrphanRecovery } from './execution/recovery/orphan-recovery.js';
import { ConnectionTakeovers } from './stream/connection-takeovers.js';
import type { ListeningServer } from './http/response/closing-server.js';
import { endpointOf, endpoints, middleware, requestListener } from './http/endpoint.js';
import { checkModern } from './http/modern/modern.js';
import type { Interception } from './intercept/intercept.js';
import { intercept } from './intercept/intercept.js';
import type { AnynodeOptions, Options } from './options/options.js';
import { resolveOptions } from './options/options.js';
import type { Clock } from './protocol/clock.js';
import { systemClock } from './protocol/clock.js';
import { OutgoingRequests } from './replica/requests/outgoing-requests.js';
import { BegunStreams } from './stream/begun-streams.js';
import { RunningCount } from './replica/requests/running-calls.js';
import { directory } from './handle/session-directory.js';
import { sessionHandle } from './handle/session-handle.js';
import type { SessionNode } from './replica/session-node.js';
import { resolveTasks, sdkStoresOn } from './sdk-stores/sdk-stores.js';
import type { Anynode, CloseOptions, Health } from './handle/node-handle.js';
import { notifyAll, notifyBoth, unheldNotify } from './handle/notify.js';
import { questionsOf } from './handle/task-questions.js';
import { SessionService } from './execution/session-service.js';
import { unheld } from './protocol/unheld.js';
import { Followers } from './stream/followers.js';
import { SessionKeeper } from './stream/session-keeper.js';
import { CommitQueue } from './stream/commit-queue.js';
import { OpenedStreams } from './stream/opened-streams.js';
import { LogHorizon } from './stream/log-horizon.js';
import { PositionCheck } from './stream/position-check.js';

const DRAIN_MS = 10_000;

/**
 * Makes any node serve any MCP session: `app.use('/mcp', anynode({ server: () => buildServer(), redis }))`.
 *
 * Returns at once; connections are made in the background, and requests that come before wait for them. Throws a
 * `TypeError` for options that make no sense.
 */
export function anynode(given: AnynodeOptions): Anynode {
  return createNode(given, { clock: systemClock, nodeId: randomNodeId() });
}

/** The same, with what it would reach for passed in: a simulation repeats exactly, and a test need not wait for a minute. */
export function createNode(
  given: AnynodeOptions,
  { clock, nodeId, checkEveryMs }: { clock: Clock; nodeId: string; checkEveryMs?: number },
): Anynode {
  const options = resolveOptions(given);
  const followers = new Followers(() => positionCheck.schedule());
  const { leaseMs, commandTimeoutMs, sessionTtlMs, pendingTtlMs, retention, logger } = options;
  const membership = options.backplane.join({
    ...{ nodeId, clock, leaseMs, commandTimeoutMs, sessionTtlMs, pendingTtlMs, retention, logger },
    onMessage: (message) => {
      try {
        dispatch(message, receivers);
      } catch (error) {
        logger.error(`mcp-anynode: a message of another node failed: ${String(error)}`);
      }
    },
    onLost: () => {
      // The backplane may have lost the answer of a call that runs here no more (a failover): then its stream has to be ended.
      followers.pokeAll(clock, (follower) => {
        if (follower.stream === STANDALONE) openers.check(follower);
        else if (!handovers.has(follower)) orphans.checkOwn(follower);
      });
      // A failover may have lost that this node has begun requests as the owner of their session.
      if (node.owned) {
        for (const { sessionId, stream } of sessions.begun()) orphans.assert(sessionId, stream);
      }
      sessions.catchUp().catch((error: unknown) => {
        logger.warn(`mcp-anynode: answers may have been missed: ${String(error)}`);
      });
    },
    onLapse: () => {
      logger.warn(
        'mcp-anynode: this node was silent for longer than its lease, or the lease was lost',
      );
      void keeper.refresh(sessions.withReplica());
      sessions.ownership.verify().catch((error: unknown) => {
        logger.warn(`mcp-anynode: sessions may be others' by now: ${String(error)}`);
      });
    },
  });
  const horizon = new LogHorizon(clock);
  const commitQueue = new CommitQueue(
    ...([membership, clock, commandTimeoutMs, logger] as const),
    (sessionId, stream) => followers.find(sessionId, stream)?.poke(),
    (sessionId) => sessions.end(sessionId),
    horizon,
  );
  const backplaneWatch = new BackplaneWatch({ membership, clock, logger });
  const asks = new OutgoingRequests(nodeId);
  const running = new RunningCount();
  const arriving = new RunningCount();
  const elsewhere = new RunningCount();
  const exchanges = new RunningCount();
  const watch = new NodeWatch({ nodeId, membership: () => membership, clock, leaseMs });
  const servers = serversOf(options, clock);
  const { factory } = servers;
  const opened = new OpenedStreams(nodeId);
  const node: SessionNode = {
    ...{
      nodeId,
      membership,
      commitQueue,
      followers,
      outgoingRequests: asks,
      running,
      arriving,
      clock,
      logger,
      watch,
    },
    begunStreams: new BegunStreams(clock, retention.maxAgeMs, opened),
    factory,
    isServerReachable: () => servers.isReachable(),
    responseMode: options.responseMode,
    owned: options.affinity === 'owner',
    leaseMs,
    replicaIdleMs: Math.min(options.replicaIdleMs, sessionTtlMs),
    maxReplicas: options.maxReplicas,
    limits: options.limits,
    isAlive: (id) => watch.isAlive(id),
    endDead: (...args) => orphans.endDead(...args),
    doubt: (sessionId, stream, executor) => orphans.ask(executor, [{ sessionId, stream }]),
    onDisowned: (sessionId) => sessions.disowned(sessionId),
    onGone: (sessionId) => sessions.end(sessionId),
    onTaken: (sessionId, stream) => orphans.taken(sessionId, stream),
    onAnswered: (sessionId, stream) => orphans.assert(sessionId, stream),
    hangUp: (sessionId, stream) => hangUp(sessionId, stream),
    onMove: (follower) => {
      horizon.saw(follower.position.logId);
      keeper.noteMove(follower);
    },
    nextName: () => opened.nextName(),
  };
  const sessions = new SessionService(node);
  const keeper = new SessionKeeper({
    ...{ membership, followers, clock, sessionTtlMs },
    running: () => sessions.running(),
    onTaken: (sessionId, stream) => orphans.taken(sessionId, stream),
    onGone: (id) => sessions.end(id),
  });
  const positionCheck = new PositionCheck({ membership, followers, clock, checkEveryMs });
  const takeovers = new ConnectionTakeovers(
    nodeId,
    membership,
    followers,
    clock,
    commandTimeoutMs,
    commitQueue,
  );
  const rerun = options.recovery === 'rerun-idempotent';
  const orphans = new OrphanRecovery({
    ...{ nodeId, membership, watch, commitQueue, sessions, followers, clock, rerun, logger },
    owned: node.owned,
    hand: (follower, owner, context) => handovers.hand(follower, owner, context, undefined),
  });
  const handovers = new OwnerHandover({
    ...{ nodeId, membership, sessions, orphans, watch, clock, logger },
  });

  const openers = new OpenerWatch({ membership, watch, clock, logger });

  const hangUpHere = (sessionId: string, stream: string, token: string): void => {
    const follower = followers.find(sessionId, stream, token);
    if (follower?.resumable === true) follower.end('hangup');
  };
  const receivers: Receivers = {
    ...{ node, sessions, followers, orphans, handovers, takeovers },
    hangUp: hangUpHere,
  };
  const hangUp = (sessionId: string, stream: string): void => {
    // Through the same queue as the messages sent before: they are on the stream when its connection ends.
    commitQueue
      .append(sessionId, [{ type: 'hangup', stream }], true)
      .then((committed) => {
        const [result] = committed === 'gone' ? [] : committed.results;
        if (result?.status !== 'received' || result.token === undefined) return;
        hangUpHere(sessionId, stream, result.token);
      })
      .catch(() => undefined); // this node closes, and ends its connections anyway
  };

  const sdkStores = sdkStoresOn(() => membership, {
    ...{ nodeId, clock, watch, maxEvents: retention.maxEvents, logger },
    tasks: resolveTasks(given.tasks),
    questions: questionsOf(sessions, membership),
    hold: (sessionId) => sessions.find(sessionId)?.hold() ?? (() => undefined),
  });

  const bus = sdkStores.parts.serverEventBus;
  const modern = checkModern(options.modern?.({ bus }));

  let closed = false;
  let closing: Promise<void> | undefined;
  const endpoint = endpointOf({
    node,
    sessions,
    takeovers,
    orphans,
    handovers,
    openers,
    modern,
    exchanges,
    options,
    elsewhere,
    isClosing: () => closing !== undefined,
    isClosed: () => closed,
  });

  const closeNode = (drainMs: number, server?: ListeningServer): Promise<void> => {
    const parts = {
      ...{ clock, commandTimeoutMs, logger, rerun, sessions, followers, handovers, openers },
      ...{ arriving, running, elsewhere, exchanges, modern, endpoint, commitQueue, membership },
      quiet: [keeper, positionCheck, orphans, openers, watch],
      last: [sdkStores, backplaneWatch],
      servers,
      onClosed: () => (closed = true),
    };
    return server === undefined
      ? closeInOrder(parts, drainMs)
      : closeWithServer(parts, drainMs, server);
  };

  const notify = notifyAll({ membership, commitQueue, followers });
  const mcp: Anynode = Object.assign(middleware(endpoint), {
    nodeId,
    listener: requestListener(endpoint),
    ready: ({ upstream = false } = {}) =>
      unheld(membership.ready().then(() => (upstream ? servers.ready() : undefined))),
    health(): Health {
      const trouble = membership.trouble() ?? servers.trouble();
      return {
        status:
          closing !== undefined
            ? ('draining' as const)
            : trouble === undefined
              ? ('ready' as const)
              : ('down' as const),
        nodeId,
        ...(trouble !== undefined && { reason: trouble }),
        sessions: sessions.replicas,
        streams: followers.size + exchanges.size,
        inFlight: running.size,
      };
    },
    sessions: directory({ membership, clock, redact: options.redact }, (id) => sessions.end(id)),
    session: (id: string) => {
      const onGone = (sessionId: string): void => sessions.end(sessionId);
      return sessionHandle({ membership, commitQueue, followers, asks, clock, logger, onGone }, id);
    },
    notify: unheldNotify(
      modern === undefined ? notify : notifyBoth(notify, sdkStores.announce),
      logger,
    ),
    ...sdkStores.parts,
    close: ({ drainMs = DRAIN_MS, server }: CloseOptions = {}) => {
      return (closing ??= unheld(closeNode(drainMs, server)));
    },
  });
  endpoints.set(mcp, endpoint);
  return mcp;
}

/** What builds the server objects, whichever way they are mounted. */
function serversOf(
  { server, intercepted, upstreamTimeoutMs, upstreamMessageBytes, logger }: Options,
  clock: Clock,
): Pick<SessionNode, 'factory'> & Omit<Interception, 'factory'> {
  if (intercepted !== undefined) {
    const [timeoutMs, messageBytes] = [upstreamTimeoutMs, upstreamMessageBytes];
    return intercept(intercepted, { clock, logger, timeoutMs, messageBytes });
  }
  if (server === undefined) throw new TypeError('mcp-anynode: there is no `server`');
  const done = (): Promise<void> => Promise.resolve();
  const isReachable = (): Promise<boolean> => Promise.resolve(true);
  return { factory: server, trouble: () => undefined, isReachable, ready: done, close: done };
}
