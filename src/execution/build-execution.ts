import type { NodeMessage } from '../backplane/backplane.js';
import { ReplicaBuilder } from '../replica/build-replica.js';
import type { Factory } from '../replica/replica.js';
import { ReplicaPool } from '../replica/replica-pool.js';
import { OutgoingRequests } from '../replica/requests/outgoing-requests.js';
import { BegunStreams } from '../stream/begun-streams.js';
import { ConnectionTakeovers } from '../stream/followers/connection-takeovers.js';
import { HangUps } from '../stream/hang-ups.js';
import type { LogHorizon } from '../stream/log-horizon.js';
import type { NodeContext } from '../stream/node-context.js';
import { OpenedStreams } from '../stream/opened-streams.js';
import type { PositionCheck } from '../stream/followers/position-check.js';
import { SessionKeeper } from '../stream/session-keeper.js';
import { Assignments } from './ownership/assignments.js';
import { ClientConnections } from './client-connections.js';
import { ClientMessages } from './messages/client-messages.js';
import { dispatch } from './dispatch.js';
import { EarlyIntake } from './requests/early-intake.js';
import { Execution } from './execution.js';
import type { NodeLifetime } from './node-lifetime.js';
import { OwnerHandover } from './ownership/owner-handover.js';
import { Ownership } from './ownership/ownership.js';
import { CatchUp } from './recovery/catch-up.js';
import { EndOrRerun } from './recovery/end-or-rerun.js';
import type { NodeWatch } from '../stream/node-watch.js';
import { OpenerWatch } from './recovery/opener-watch.js';
import { OrphanRecovery } from './recovery/orphan-recovery.js';
import { SilenceRecovery } from './recovery/silence-recovery.js';
import { RequestIntake } from './requests/request-intake.js';
import { RequestRunner } from './requests/request-runner.js';
import { SessionAccess } from './session-access.js';
import { SessionInbox } from './messages/session-inbox.js';
import { SessionService } from './session-service.js';
import { SessionStart } from './session-start.js';

export interface ExecutionSettings {
  factory: Factory;
  /** The server behind this node (`handler` or `upstream`), if there is one. */
  servers: { isReachable(): Promise<boolean> };
  /** True with `recovery: 'rerun-idempotent'`. */
  rerun: boolean;
  /** How long the log keeps a message. */
  maxAgeMs: number;
  sessionTtlMs: number;
  commandTimeoutMs: number;
}

/** The parts of a node that run requests, as the rest of the node sees them. */
export interface ExecutionParts {
  execution: Execution;
  connections: ClientConnections;
  endOrRerun: EndOrRerun;
  outgoingRequests: OutgoingRequests;
  silence: SilenceRecovery;
  /** Hands a message of another node to the part that it is for. */
  onMessage(message: NodeMessage): void;
  /** Stops handovers: this node begins no more requests of other nodes, and hands none to other nodes. */
  stopHandovers(): void;
  /**
   * The parts that look at other nodes and at the backplane from time to time. The node closes them after its last request
   * has ended.
   */
  periodic: { close(): void }[];
}

/** Builds the parts that run requests, each after those that it needs. */
export function buildExecution(
  node: NodeContext,
  watch: NodeWatch,
  lifetime: NodeLifetime,
  { horizon, positionCheck }: { horizon: LogHorizon; positionCheck: PositionCheck },
  settings: ExecutionSettings,
): ExecutionParts {
  const { nodeId, backplane, commitQueue, followers, clock, logger, notices, telemetry } = node;
  const { sessionTtlMs, commandTimeoutMs } = settings;

  const outgoingRequests = new OutgoingRequests(
    nodeId,
    telemetry && ((id) => telemetry.questionDropped(id)),
  );
  const openedStreams = new OpenedStreams(nodeId);
  const begunStreams = new BegunStreams(clock, settings.maxAgeMs, openedStreams);
  const hangUps = new HangUps(commitQueue, followers);
  const takeovers = new ConnectionTakeovers(
    ...([nodeId, backplane, followers, clock, commandTimeoutMs, commitQueue] as const),
  );

  const builder = new ReplicaBuilder(settings.factory, outgoingRequests, clock, logger);
  const pool = new ReplicaPool(node, builder, lifetime.running, watch);
  const keeper = new SessionKeeper({
    ...{ backplane, followers, clock, sessionTtlMs },
    running: () => pool.runningStreams(),
    onExecutionLost: (sessionId, stream) => notices.executionLost(sessionId, stream),
    onGone: (sessionId) => notices.ended(sessionId),
  });

  const access = new SessionAccess(node, pool);
  const ownership = new Ownership(node, pool, watch, settings.servers, lifetime);
  const endOrRerun = new EndOrRerun(node, pool, begunStreams);
  const sessions = new SessionService(node, pool, ownership, begunStreams);
  const clientMessages = new ClientMessages(
    ...([node, pool, access, ownership, outgoingRequests, hangUps] as const),
  );
  const runner = new RequestRunner(node, pool, ownership, clientMessages);
  const { arriving } = lifetime;
  const assignments = new Assignments(node, { pool, ownership, endOrRerun, runner, arriving });
  const handovers = new OwnerHandover(node, { assignments, ownership, watch });
  const orphans = new OrphanRecovery(node, {
    ...{ watch, sessions, endOrRerun, rerun: settings.rerun, handovers },
  });
  const openers = new OpenerWatch({ backplane, watch, clock, logger });
  const connections = new ClientConnections(node, {
    ...{ watch, takeovers, hangUps, openedStreams, openers },
    onMove: (follower) => {
      horizon.saw(follower.position.logId);
      keeper.noteMove(follower);
    },
  });

  const catchUp = new CatchUp(node, outgoingRequests, {
    busy: () => [...pool.runningStreams().keys()],
    verify: () => ownership.verify(),
    deliver: (sessionId, message) => clientMessages.deliverHere(sessionId, message),
  });
  const inbox = new SessionInbox(
    node,
    (sessionId, text, context) => clientMessages.deliverFromNode(sessionId, text, context),
    () => void catchUp.catchUp().catch(() => undefined), // this node has closed
  );
  const silence = new SilenceRecovery(node, {
    ...{ sessions, ownership, orphans, handovers, openers, keeper, catchUp },
  });
  notices.listen({
    ended: (sessionId) => sessions.end(sessionId),
    ownedElsewhere: (sessionId) => sessions.discardReplica(sessionId),
    becameOwner: (sessionId) => ownership.discardOutdated(sessionId),
    executionLost: (sessionId, stream) => orphans.executionLost(sessionId, stream),
    answeredButOpen: (sessionId, stream) => orphans.confirmExecutor(sessionId, stream),
  });

  const start = new SessionStart(node, pool, openedStreams);
  const intake = new RequestIntake(node, {
    ...{ pool, access, ownership, clientMessages, runner, begunStreams },
    early: new EarlyIntake(node, begunStreams),
  });
  const parts = { start, intake, clientMessages, orphans, lifetime, telemetry };
  const execution = new Execution(sessions, access, parts);
  const receivers = {
    ...{ followers, takeovers, hangUps, inbox, ownership, sessions, orphans, handovers },
  };
  return {
    ...{ execution, connections, endOrRerun, outgoingRequests, silence },
    onMessage: (message) => dispatch(message, receivers),
    stopHandovers: () => handovers.close(),
    periodic: [keeper, positionCheck, orphans, openers, watch],
  };
}
