import type { JoinedBackplane } from './backplane/backplane.js';
import { measured } from './stream/measured-backplane.js';
import { closeInOrder, closeWithServer } from './close-node.js';
import { buildExecution } from './execution/build-execution.js';
import { NodeLifetime } from './execution/node-lifetime.js';
import { BackplaneWatch } from './execution/recovery/backplane-watch.js';
import { NodeWatch } from './stream/node-watch.js';
import { healthOf } from './handle/health.js';
import type { Anynode, CloseOptions } from './handle/node-handle.js';
import { notifyAll, notifyBoth, unheldNotify } from './handle/notify.js';
import { directory } from './operator/session-directory.js';
import { sessionHandle } from './handle/session-handle.js';
import { questionsOf } from './handle/task-questions.js';
import { endpointOf, middleware, requestListener, setEndpoint } from './http/endpoint.js';
import { makeModern } from './http/modern/modern.js';
import { serversOf } from './intercept/servers.js';
import type { AnynodeOptions } from './options/anynode-options.js';
import { resolveOptions } from './options/options.js';
import type { Clock } from './protocol/timing/clock.js';
import { systemClock } from './protocol/timing/clock.js';
import { randomNodeId } from './protocol/node-id.js';
import { unheld } from './protocol/unheld.js';
import { resolveTasks, sdkStoresOn, serverEventBusOn } from './sdk-stores/sdk-stores.js';
import { CommitQueue } from './stream/commit-queue.js';
import { Followers } from './stream/followers/followers.js';
import { LogHorizon } from './stream/log-horizon.js';
import type { NodeContext } from './stream/node-context.js';
import { PositionCheck } from './stream/followers/position-check.js';
import { SessionNotices } from './stream/session-notices.js';

const DRAIN_MS = 10_000;

/**
 * Creates a node that can serve any MCP session: `app.use('/mcp', anynode({ server: () => buildServer(), redis }))`.
 *
 * Returns at once. Connections are made in the background, and requests that come earlier wait for them. Throws a
 * `TypeError` for options that make no sense.
 */
export function anynode(given: AnynodeOptions): Anynode {
  return createNode(given, { clock: systemClock, nodeId: randomNodeId() });
}

/** Creates a node with a given clock and id. A simulation then repeats exactly, and a test does not wait for real time. */
export function createNode(
  given: AnynodeOptions,
  { clock, nodeId, checkEveryMs }: { clock: Clock; nodeId: string; checkEveryMs?: number },
): Anynode {
  const options = resolveOptions(given);
  const { commandTimeoutMs, sessionTtlMs, leaseMs, limits, logger, retention } = options;
  const tasks = resolveTasks(given.tasks);
  const lifetime = new NodeLifetime();

  // Messages of other nodes arrive after this function has returned, so all parts exist by then.
  let joined: JoinedBackplane | undefined;
  let hasListened = false;
  const join = (): JoinedBackplane =>
    (joined ??= options.backplane.join({
      ...{ nodeId, clock, leaseMs, commandTimeoutMs, sessionTtlMs, retention, logger },
      pendingTtlMs: options.pendingTtlMs,
      onMessage: (message) => {
        try {
          executionParts.onMessage(message);
        } catch (error) {
          logger.error(`mcp-anynode: a message of another node failed: ${String(error)}`);
        }
      },
      onLost: () => {
        // The first call says that this node has begun to listen.
        if (hasListened) telemetry?.count('wakeupsMissed');
        hasListened = true;
        executionParts.silence.messagesLost();
      },
      onLapse: () => {
        telemetry?.count('leaseLapses');
        executionParts.silence.leaseLapsed();
      },
    }));
  const bus = serverEventBusOn(join, logger);
  // `modern` is code of the application and may throw. It is called before this node joins and starts timers, because
  // otherwise a node would stay in the backplane that no request reaches. Only a use of the bus joins earlier.
  const leave = (): void => {
    bus.close();
    void joined?.leave();
  };
  const modern = orUndo(() => makeModern(options.modern, bus), leave);
  const telemetry = orUndo(
    () =>
      // Telemetry reads these parts later, when they exist.
      options.telemetry?.observe({
        nodeId,
        sessions: () => executionParts.execution.sessions.live,
        replicas: () => executionParts.execution.sessions.replicas,
        streams: () => followers.size,
        requests: () => lifetime.running.size,
        bufferedBytes: () => followers.bufferedBytes,
      }),
    leave,
  );
  const { servers, backplane } = orUndo(
    () => ({
      servers: serversOf(options, clock, () => telemetry?.headers()),
      backplane: telemetry === undefined ? join() : measured(join(), telemetry, clock),
    }),
    () => {
      telemetry?.close();
      leave();
    },
  );
  const notices = new SessionNotices();
  const followers = new Followers(() => positionCheck.schedule());
  const positionCheck = new PositionCheck({
    ...{ backplane, followers, clock, checkEveryMs },
    onMissed: () => telemetry?.count('wakeupsMissed'),
  });
  const horizon = new LogHorizon(clock);
  const commitQueue = new CommitQueue(
    ...([backplane, clock, commandTimeoutMs, logger] as const),
    (sessionId, stream) => followers.find(sessionId, stream)?.poke(),
    (sessionId) => notices.ended(sessionId),
    horizon,
    (sessionId) => notices.becameOwner(sessionId),
  );
  const settings = {
    ...{ responseMode: options.responseMode, owned: options.affinity === 'owner', leaseMs, limits },
    replicaIdleMs: Math.min(options.replicaIdleMs, sessionTtlMs),
    maxReplicas: options.maxReplicas,
  };
  const node: NodeContext = {
    ...{ nodeId, clock, logger, settings, backplane, commitQueue, followers, notices, telemetry },
  };
  const watch = new NodeWatch({ nodeId, backplane: () => backplane, clock, leaseMs });
  const rerun = options.recovery === 'rerun-idempotent';
  const executionParts = buildExecution(
    ...([node, watch, lifetime, { horizon, positionCheck }] as const),
    {
      factory: servers.factory,
      servers,
      rerun,
      maxAgeMs: retention.maxAgeMs,
      ...{ sessionTtlMs, commandTimeoutMs },
    },
  );
  const { execution, connections, outgoingRequests } = executionParts;
  const { sessions } = execution;

  const sdkStores = sdkStoresOn(() => backplane, {
    ...{ nodeId, clock, watch, maxEvents: retention.maxEvents, logger, bus },
    tasks,
    questions: questionsOf(sessions, backplane),
    hold: (sessionId) => sessions.find(sessionId)?.hold() ?? (() => undefined),
  });
  const endpoint = endpointOf({ node, options, execution, connections, lifetime, modern });
  const backplaneWatch = new BackplaneWatch({ backplane, clock, logger });

  let closing: Promise<void> | undefined;
  const close = (drainMs: number, server: CloseOptions['server']): Promise<void> => {
    lifetime.beginClosing();
    const parts = { endpoint, executionParts, servers, last: [sdkStores, backplaneWatch] };
    const began = clock.elapsed();
    const closed =
      server === undefined ? closeInOrder(parts, drainMs) : closeWithServer(parts, drainMs, server);
    return closed.finally(() => {
      telemetry?.measure('drain', clock.elapsed() - began);
      telemetry?.close();
    });
  };
  const notify = notifyAll({ backplane, commitQueue, followers });
  const notifyAlso =
    modern === undefined ? notify : notifyBoth(notify, (event) => bus.announce(event));
  const mcp: Anynode = Object.assign(middleware(endpoint), {
    nodeId,
    listener: requestListener(endpoint),
    ready: ({ upstream = false } = {}) =>
      unheld(backplane.ready().then(() => (upstream ? servers.ready() : undefined))),
    health: () => healthOf(node, lifetime, sessions, servers),
    sessions: directory({ backplane, clock, redact: options.redact }, (id) => sessions.end(id)),
    session: (id: string) => sessionHandle(node, outgoingRequests, id),
    notify: unheldNotify(notifyAlso, logger),
    ...sdkStores.parts,
    close: ({ drainMs = DRAIN_MS, server }: CloseOptions = {}) =>
      (closing ??= unheld(close(drainMs, server))),
  });
  setEndpoint(mcp, endpoint);
  return mcp;
}

/** Returns what `make` returns. If it throws, calls `undo` first, and throws the same. */
function orUndo<Made>(make: () => Made, undo: () => void): Made {
  try {
    return make();
  } catch (error) {
    undo();
    throw error;
  }
}
