import { closeInOrder, closeWithServer } from './close-node.js';
import { connectNode } from './connect-node.js';
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
import { fetchHandler } from './http/fetch/fetch-handler.js';
import type { AnynodeOptions } from './options/anynode-options.js';
import { resolveOptions } from './options/options.js';
import type { Clock } from './protocol/timing/clock.js';
import { systemClock } from './protocol/timing/clock.js';
import { randomNodeId } from './protocol/node-id.js';
import { unheld } from './protocol/unheld.js';
import { resolveTasks, sdkStoresOn } from './sdk-stores/sdk-stores.js';
import { startAudit } from './start-audit.js';
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

  // These parts call back later, when all parts below exist.
  const { bus, modern, telemetry, servers, backplane } = connectNode(options, {
    ...{ nodeId, clock },
    onMessage: (message) => executionParts.onMessage(message),
    onLost: () => executionParts.silence.messagesLost(),
    onLapse: () => executionParts.silence.leaseLapsed(),
    observed: {
      sessions: () => executionParts.execution.sessions.live,
      replicas: () => executionParts.execution.sessions.replicas,
      streams: () => followers.size,
      requests: () => lifetime.running.size,
      bufferedBytes: () => followers.bufferedBytes,
    },
  });
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
    // A server behind HTTP takes longer to answer than a request can be held back.
    earlyReads:
      options.earlyReads && options.affinity === 'any' && options.intercepted === undefined,
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
  const audit = startAudit(options, { backplane, nodeId, clock });

  let closing: Promise<void> | undefined;
  const close = (drainMs: number, server: CloseOptions['server']): Promise<void> => {
    lifetime.beginClosing();
    const last = [sdkStores, backplaneWatch];
    const parts = { endpoint, executionParts, servers, last, audit };
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
  const listener = requestListener(endpoint);
  const mcp: Anynode = Object.assign(middleware(endpoint), {
    nodeId,
    listener,
    fetch: fetchHandler(listener, options.logger),
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
