/** Closes a node in this order: clients, running requests, the parts that work in the background, and the backplane last. */
import type { ExecutionParts } from './execution/build-execution.js';
import type { NodeLifetime } from './execution/node-lifetime.js';
import type { Endpoint } from './http/endpoint.js';
import { closeModern } from './http/modern/modern.js';
import type { ListeningServer } from './http/response/closing-server.js';
import { endConnections, stopListening } from './http/response/closing-server.js';
import type { Interception } from './intercept/intercept.js';
import { pause } from './protocol/timing/backoff.js';
import { answerTurns } from './replica/requests/loop-turns.js';
import type { NodeAudit } from './start-audit.js';
import { atMost, spreadHangUps } from './stream/drain.js';

/** How long to wait for requests on accepted connections. A later request was not meant for this node. */
const SETTLE_MS = 100;
/** How long kept connections of a load balancer are served. The balancer ends them, or each ends with its next response. */
const KEPT_MS = 6000;

interface Closing {
  close(): void;
}

export interface ClosingNode {
  endpoint: Endpoint;
  executionParts: ExecutionParts;
  servers: Pick<Interception, 'close'>;
  /** The parts that close just before this node leaves the backplane. */
  last: Closing[];
  audit: NodeAudit | undefined;
}

export async function closeInOrder(node: ClosingNode, drainMs: number): Promise<void> {
  await close(node, drainMs, node.endpoint.node.clock.elapsed(), undefined);
}

/**
 * Closes the parts in order. `began` is the time from which `drainMs` counts. `ended` resolves when the last connection has
 * ended, if that is known.
 */
async function close(
  { endpoint, executionParts, servers, last, audit }: ClosingNode,
  drainMs: number,
  began: number,
  ended: Promise<void> | undefined,
): Promise<void> {
  const { lifetime, modern, options, shared, connections } = endpoint;
  const { sessions } = endpoint.execution;
  const { clock, followers, commitQueue, logger, backplane } = endpoint.node;
  const { commandTimeoutMs, recovery } = options;
  const left = (): number => Math.max(0, drainMs - (clock.elapsed() - began));
  shared.turns.close();
  // Sessions are given up at once. Do not wait longer, because a server behind this node may never answer that its session
  // has ended.
  await atMost(commandTimeoutMs, sessions.giveUpIdle(), clock);
  await atMost(drainMs, spreadHangUps(followers.all(), drainMs, clock), clock);
  await atMost(left(), Promise.all([allDone(lifetime), connections.openers.drain()]), clock);
  // Serve requests that are on their way too: a load balancer cannot know that it may send them to another node.
  const settled = ended ?? pause(SETTLE_MS, clock);
  await atMost(Math.min(left(), KEPT_MS), settled, clock);
  await atMost(left(), allDone(lifetime), clock);
  lifetime.close();
  executionParts.stopHandovers();
  // A request that is being stored at this moment runs when it is stored, or is refused.
  await atMost(commandTimeoutMs, lifetime.arriving.none(), clock);
  // Handlers have given these answers: the node stores them before it leaves their streams behind.
  await atMost(commandTimeoutMs, answerTurns.over(), clock);
  // Requests that still run are orphans now: this node ends them, or leaves them to a node that may run them again.
  const isLeft = recovery === 'rerun-idempotent';
  await atMost(commandTimeoutMs, executionParts.endOrRerun.leaveBehind(isLeft), clock);
  await atMost(commandTimeoutMs, commitQueue.idle(), clock);
  for (const follower of followers.all()) {
    follower.end(follower.resumable ? 'hangup' : 'closed');
  }
  if (modern !== undefined) {
    // Wait until the last bytes of the modern handler are written, because the process may end with this promise.
    const said = closeModern(modern, logger).then(() => lifetime.exchanges.none());
    await atMost(commandTimeoutMs, said, clock);
  }
  shared.sse.soon.close();
  shared.bodyTimeouts.close();
  for (const part of executionParts.periodic) part.close();
  // A server behind may never answer, as above.
  await atMost(commandTimeoutMs, sessions.close(), clock);
  await servers.close();
  await atMost(commandTimeoutMs, commitQueue.idle(), clock);
  commitQueue.close();
  for (const part of last) part.close();
  // All that this node had to log is in the outbox by now.
  await audit?.close(commandTimeoutMs);
  await backplane.leave();
}

/** Closes a node together with its HTTP server. */
export async function closeWithServer(
  closing: ClosingNode,
  drainMs: number,
  server: ListeningServer,
): Promise<void> {
  const { options, node } = closing.endpoint;
  const { clock } = node;
  const began = clock.elapsed();
  const { closed: ended } = await stopListening(server, clock);
  await close(closing, drainMs, began, ended);
  await endConnections(server, ended, { ms: options.commandTimeoutMs, clock });
}

/** Resolves when no request is arriving, runs here, or came to this node and runs on another node. */
async function allDone({ arriving, running, elsewhere }: NodeLifetime): Promise<void> {
  const all = [arriving, running, elsewhere];
  do {
    for (const each of all) await each.none();
    await answerTurns.over();
  } while (all.some(({ size }) => size > 0));
}
