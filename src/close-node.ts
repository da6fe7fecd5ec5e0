/** The order in which a node closes: clients first, then what runs, then what the parts keep up, the backplane last. */
import type { Membership } from './backplane/backplane.js';
import type { OwnerHandover } from './execution/owner-handover.js';
import type { OpenerWatch } from './execution/recovery/opener-watch.js';
import type { SessionService } from './execution/session-service.js';
import type { Endpoint } from './http/endpoint.js';
import { closeModern } from './http/modern/modern.js';
import type { ListeningServer } from './http/response/closing-server.js';
import { endConnections, stopListening } from './http/response/closing-server.js';
import type { Interception } from './intercept/intercept.js';
import type { Logger } from './options/types.js';
import { pause } from './protocol/backoff.js';
import type { Clock } from './protocol/clock.js';
import { answerTurns } from './replica/requests/loop-turns.js';
import type { RunningCount } from './replica/requests/running-calls.js';
import type { CommitQueue } from './stream/commit-queue.js';
import { atMost, spreadHangUps } from './stream/drain.js';
import type { Followers } from './stream/followers.js';

/** A connection that was accepted has sent its request by then; one that comes later was not for this node. */
const SETTLE_MS = 100;
/** So long connections are served that a balancer keeps: it ends them itself, or each with its next response. */
const KEPT_MS = 6000;

interface Closing {
  close(): void;
}

export interface ClosingNode {
  clock: Clock;
  commandTimeoutMs: number;
  logger: Logger;
  /** Other nodes may run requests again that still run when the time is over. `false`: those requests end here. */
  rerun: boolean;
  sessions: SessionService;
  followers: Followers;
  handovers: OwnerHandover;
  openers: OpenerWatch;
  arriving: RunningCount;
  running: RunningCount;
  /** Requests that came to this node and run on another one. */
  elsewhere: RunningCount;
  /** Requests of revision 2026-07-28. */
  exchanges: RunningCount;
  modern: Endpoint['modern'];
  endpoint: Pick<Endpoint, 'sse' | 'bodyTimeouts'>;
  servers: Pick<Interception, 'close'>;
  commitQueue: CommitQueue;
  membership: Membership;
  /** The parts that look at other nodes and at the backplane from time to time. They close when no request runs any more. */
  quiet: Closing[];
  /** Closed just before this node leaves the backplane. */
  last: Closing[];
  /** From now on new requests are refused. */
  onClosed(): void;
}

export async function closeInOrder(node: ClosingNode, drainMs: number): Promise<void> {
  await close(node, drainMs, node.clock.elapsed(), undefined);
}

/** `began`: when the time that it may take did. `ended`: when the last connection has ended, where that is known. */
async function close(
  node: ClosingNode,
  drainMs: number,
  began: number,
  ended: Promise<void> | undefined,
): Promise<void> {
  const { clock, commandTimeoutMs, sessions, followers, openers, arriving, commitQueue } = node;
  const left = (): number => Math.max(0, drainMs - (clock.elapsed() - began));
  // They are given up at once; a server behind may never answer that its session is over.
  await atMost(commandTimeoutMs, sessions.handOver(), clock);
  await atMost(drainMs, spreadHangUps(followers.all(), drainMs, clock), clock);
  await atMost(left(), Promise.all([allDone(node), openers.drain()]), clock);
  // The node serves requests that are on their way, too: a balancer cannot know that it may send them to another node.
  const settled = ended ?? pause(SETTLE_MS, clock);
  await atMost(Math.min(left(), KEPT_MS), settled, clock);
  await atMost(left(), allDone(node), clock);
  node.onClosed();
  node.handovers.close();
  // A request that is being stored at this moment runs when it is stored, or is refused.
  await atMost(commandTimeoutMs, arriving.none(), clock);
  // Handlers have given these answers: the node stores them before it leaves their streams behind.
  await atMost(commandTimeoutMs, answerTurns.over(), clock);
  // Requests that still run are orphans now: this node ends them, or leaves them to a node that may run them again.
  await atMost(commandTimeoutMs, sessions.orphaned.leaveBehind(node.rerun), clock);
  await atMost(commandTimeoutMs, commitQueue.idle(), clock);
  for (const follower of followers.all()) {
    follower.end(follower.resumable ? 'hangup' : 'closed');
  }
  if (node.modern !== undefined) {
    // And what that says last is written: the process may end with this promise.
    const said = closeModern(node.modern, node.logger).then(() => node.exchanges.none());
    await atMost(commandTimeoutMs, said, clock);
  }
  node.endpoint.sse.soon.close();
  node.endpoint.bodyTimeouts.close();
  for (const part of node.quiet) part.close();
  // A server behind may never answer, as above.
  await atMost(commandTimeoutMs, sessions.close(), clock);
  await node.servers.close();
  await atMost(commandTimeoutMs, commitQueue.idle(), clock);
  commitQueue.close();
  for (const part of node.last) part.close();
  await node.membership.leave();
}

/** The same, for a node whose HTTP server is closed with it. */
export async function closeWithServer(
  node: ClosingNode,
  drainMs: number,
  server: ListeningServer,
): Promise<void> {
  const { clock, commandTimeoutMs } = node;
  const began = clock.elapsed();
  const { closed: ended } = await stopListening(server, clock);
  await close(node, drainMs, began, ended);
  await endConnections(server, ended, { ms: commandTimeoutMs, clock });
}

/** Nothing runs, nothing is on its way to, and no request of this node runs elsewhere. */
async function allDone({ arriving, running, elsewhere }: ClosingNode): Promise<void> {
  const all = [arriving, running, elsewhere];
  do {
    for (const each of all) await each.none();
    await answerTurns.over();
  } while (all.some(({ size }) => size > 0));
}
