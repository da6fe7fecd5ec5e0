import type { RequestListener } from 'node:http';
import type { RequestHandler } from 'express';
import type { NodeMessage } from './backplane/backplane.js';
import { STANDALONE } from './backplane/backplane.js';
import { BackplaneWatch } from './execution/recovery/backplane-watch.js';
import { atMost, spreadHangUps } from './stream/drain.js';
import { randomNodeId } from './execution/node-id.js';
import { NodeWatch } from './execution/recovery/node-watch.js';
import { OwnerHandover } from './execution/owner-handover.js';
import { OpenerWatch } from './execution/recovery/opener-watch.js';
import { OrphanRecovery } from './execution/recovery/orphan-recovery.js';
import { ConnectionTakeovers } from './stream/connection-takeovers.js';
import type { ListeningServer } from './http/response/closing-server.js';
import { endConnections, stopListening } from './http/response/closing-server.js';
import { endpointOf, endpoints, middleware, requestListener } from './http/endpoint.js';
import { checkModern, closeModern } from './http/modern/modern.js';
import type { Interception } from './intercept/intercept.js';
import { intercept } from './intercept/intercept.js';
import type { AnynodeOptions, Options } from './options/options.js';
import { resolveOptions } from './options/options.js';
import type { Clock } from './protocol/clock.js';
import { systemClock } from './protocol/clock.js';
import { internalError } from './replica/requests/request-errors.js';
import { OutgoingRequests } from './replica/requests/outgoing-requests.js';
import { BegunStreams } from './stream/begun-streams.js';
import { unpackContext } from './execution/delivery-context.js';
import { answerTurns } from './replica/requests/loop-turns.js';
import { RunningCount } from './replica/requests/running-calls.js';
import type { Directory } from './handle/session-directory.js';
import { directory } from './handle/session-directory.js';
import type { SessionHandle } from './handle/session-handle.js';
import { sessionHandle } from './handle/session-handle.js';
import type { SessionNode } from './replica/session-node.js';
import { resolveTasks, sdkStoresOn } from './sdk-stores/sdk-stores.js';
import type { SdkStores } from './sdk-stores/store-types.js';
import type { Notify } from './handle/notify.js';
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

/** The state of one node. */
export interface Health {
  /**
   * `draining`: `close()` was called. `down`: the backplane cannot be reached, or the server at `upstream` does not answer;
   * `reason` says why.
   */
  status: 'ready' | 'draining' | 'down';
  nodeId: string;
  reason?: string;
  /** Sessions with a server object on this node. */
  sessions: number;
  /** Connections that this node streams to. */
  streams: number;
  /** Requests that run on this node. */
  inFlight: number;
}

export interface CloseOptions {
  /** How long running calls may take. Default 10,000 ms. */
  drainMs?: number | undefined;
  /** The HTTP server that serves the node: it is closed, too. */
  server?: ListeningServer | undefined;
}

/** Express middleware, and the node's handle. */
export interface Anynode extends RequestHandler, SdkStores {
  /** Random per start. Also in the header `X-Anynode-Node`. */
  readonly nodeId: string;
  /**
   * Resolves when the backplane was reached and the node's lease is held; with `upstream`, when the server at `upstream`
   * answers as well (see `upstreamCheck`). Goes on trying; rejects only after `close()`.
   */
  ready(options?: { upstream?: boolean }): Promise<void>;
  /**
   * The same endpoint for a server of Node's own: `createServer(mcp.listener)`. It answers each request that it is given,
   * whatever its path. Nothing of Express has seen these requests: no middleware, no `req.auth` unless you have put it
   * there, no `trust proxy`, and `principal` gets an `IncomingMessage`. What it spares is mostly spared by
   * {@link serverOptionsFor}, too; see `docs/performance.md`.
   */
  readonly listener: RequestListener;
  /** At once, from what this node knows. */
  health(): Health;
  sessions: Directory;
  session(id: string): SessionHandle;
  notify: Notify;
  /**
   * Ends the connections whose clients can come back, lets running calls finish for up to `drainMs` (default 10,000 ms),
   * discards all server objects and gives the lease up. Until then the node answers as ever; afterwards with 503.
   * Calling it again returns the same promise. Never rejects.
   *
   * `server`: the HTTP server that serves this node. It stops listening first, so that a balancer takes new requests to
   * other nodes, and its last connections are ended at the end. Left out: the HTTP server is the caller's to close.
   */
  close(options?: CloseOptions): Promise<void>;
}

const DRAIN_MS = 10_000;
/** A connection that was accepted has sent its request by then; one that comes later was not for this node. */
const SETTLE_MS = 100;
/** So long connections are served that a balancer keeps: it ends them itself, or each with its next response. */
const KEPT_MS = 6000;

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
        onMessage(message);
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
  const onMessage = (message: NodeMessage): void => {
    switch (message.type) {
      case 'event':
        followers.offer(
          message.sessionId,
          message.stream,
          message.token,
          message.event,
          message.inline,
        );
        break;
      case 'hangup':
        hangUpHere(message.sessionId, message.stream, message.token);
        break;
      case 'check':
        for (const each of message.streams) orphans.check(each.sessionId, each.stream);
        break;
      case 'orphaned': {
        const follower = followers.find(message.sessionId, message.stream, message.token);
        if (follower !== undefined) orphans.released(follower);
        break;
      }
      case 'run': {
        const { sessionId, stream, context } = message;
        if (message.unreadable === true) {
          // Nor will it be when it is asked again: the request ends.
          orphans.check(sessionId, stream, internalError);
          break;
        }
        handovers.onRun(message, unpackContext(node, context, sessionId, stream));
        break;
      }
      case 'placed':
        handovers.onPlaced(message);
        break;
      case 'release':
      case 'released':
      case 'taken':
      case 'held':
        takeovers.onMessage(message);
        break;
      default:
        sessions.onMessage(message);
    }
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
  let closingSince: number | undefined;
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

  /** Nothing runs, nothing is on its way to, and nobody here waits for what runs elsewhere. */
  const allDone = async (): Promise<void> => {
    const all = [arriving, running, elsewhere];
    do {
      for (const each of all) await each.none();
      await answerTurns.over();
    } while (all.some(({ size }) => size > 0));
  };

  /** `ended`: when the last connection has ended, where that is known. */
  const close = async (drainMs: number, ended?: Promise<void>): Promise<void> => {
    // They are given up at once; a server behind may never answer that its session is over.
    await atMost(commandTimeoutMs, sessions.handOver(), clock);
    await atMost(drainMs, spreadHangUps(followers.all(), drainMs, clock), clock);
    const left = (): number => Math.max(0, drainMs - (clock.elapsed() - (closingSince ?? 0)));
    await atMost(left(), Promise.all([allDone(), openers.drain()]), clock);
    // What is on its way is served, too: nothing could say that it may be sent elsewhere.
    const settled = ended ?? new Promise<void>((resolve) => clock.after(SETTLE_MS, resolve));
    await atMost(Math.min(left(), KEPT_MS), settled, clock);
    await atMost(left(), allDone(), clock);
    closed = true;
    handovers.close();
    // What is being stored just now runs in a moment, or is refused.
    await atMost(commandTimeoutMs, arriving.none(), clock);
    // Handlers have given these answers: the node stores them before it leaves their streams behind.
    await atMost(commandTimeoutMs, answerTurns.over(), clock);
    // What still runs is an orphan now: ended here, or left to those who may run it again.
    await atMost(commandTimeoutMs, sessions.orphaned.leaveBehind(rerun), clock);
    await atMost(commandTimeoutMs, commitQueue.idle(), clock);
    for (const follower of followers.all()) {
      follower.end(follower.resumable ? 'hangup' : 'closed');
    }
    if (modern !== undefined) {
      // And what that says last is written: the process may end with this promise.
      const ended = closeModern(modern, logger).then(() => exchanges.none());
      await atMost(commandTimeoutMs, ended, clock);
    }
    endpoint.sse.soon.close();
    endpoint.bodyTimeouts.close();
    keeper.close();
    positionCheck.close();
    orphans.close();
    openers.close();
    watch.close();
    await atMost(commandTimeoutMs, sessions.close(), clock); // as above
    await servers.close();
    await atMost(commandTimeoutMs, commitQueue.idle(), clock);
    commitQueue.close();
    sdkStores.close();
    backplaneWatch.close();
    await membership.leave();
  };

  const closeWith = async (server: ListeningServer, drainMs: number): Promise<void> => {
    const { closed: ended } = await stopListening(server, clock);
    await close(drainMs, ended);
    await endConnections(server, ended, { ms: commandTimeoutMs, clock });
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
      closingSince ??= clock.elapsed();
      return (closing ??= unheld(
        server === undefined ? close(drainMs) : closeWith(server, drainMs),
      ));
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
