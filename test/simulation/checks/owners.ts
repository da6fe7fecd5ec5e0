import type { Execution } from '../records.js';
import { HORIZON_MS } from '../plan.js';
import type { World } from '../world.js';
import type { Check } from './index.js';

/**
 * With `affinity: 'owner'` a session has one server object at a time. A server object runs no request after its successor
 * has run one.
 */
export function* oneOwner({ setting, ledger }: World): Iterable<string> {
  if (setting.affinity !== 'owner') return;
  const current = new Map<string, object>();
  const former = new Map<object, Execution>();
  for (const execution of ledger.executions) {
    const { id, sessionId, nodeId, server, at } = execution;
    const before = current.get(sessionId);
    if (before === server) continue;
    if (before !== undefined) former.set(before, execution);
    current.set(sessionId, server);
    const successor = former.get(server);
    if (successor !== undefined && !ledger.isReowned(sessionId, successor.at, at)) {
      yield `x${id} ran on ${nodeId} at ${at}, whose server object had a successor that ran x${successor.id}`;
    }
  }
}

/**
 * Messages of a server object are not stored any more once its successor runs requests. A node that is closing may finish
 * its calls.
 */
export const formerAreSilent: Check = function* ({ setting, ledger, nodes }) {
  if (setting.affinity !== 'owner') return;
  for (const { sessionId, message, at, stream, n, lost } of ledger.stored) {
    const [, by] = /"mark":"x(\d+)\./.exec(message ?? '') ?? [];
    const execution = ledger.executions[Number(by)];
    if (execution === undefined || lost) continue;
    if (nodes.some(({ nodeId, closing }) => nodeId === execution.nodeId && closing)) continue;
    const successor = successorOf(execution, ledger.executions);
    if (
      successor !== undefined &&
      successor.at < at &&
      !ledger.isReowned(sessionId, successor.at, at)
    ) {
      yield `${stream} ${n} of ${sessionId} is what x${execution.id} said on ${execution.nodeId}, stored at ${at.toFixed()}, and x${successor.id} ran on ${successor.nodeId} since ${successor.at.toFixed()}`;
    }
  }
};

/** Returns the first execution on a server object that came after the one of this execution. */
function successorOf(execution: Execution, executions: Execution[]): Execution | undefined {
  const { sessionId, server } = execution;
  const ofSession = executions.filter((each) => each.sessionId === sessionId);
  const last = ofSession.findLastIndex((each) => each.server === server);
  return ofSession.slice(last + 1).find((each) => each.server !== server);
}

/** How long a node may take to learn that it has lost a session or a request, when nothing fails. */
const WORD_MS = 10_000;

/** A handler is stopped when its session has ended, or when another node has taken its request over. */
export const handlersStop: Check = function* ({ ledger, nodes, setting, scheduler }) {
  const overFrom = ({ sessionId, key, nodeId, at }: Execution): number | undefined => {
    const stream = ledger.streams.get(`${sessionId} ${key}`);
    const claim = ledger.claims.find(
      (each) =>
        each.sessionId === sessionId &&
        each.stream === stream &&
        each.from === nodeId &&
        each.by !== nodeId &&
        each.at > at &&
        !each.lost,
    );
    const times = [ledger.removedAt.get(sessionId), claim?.at].filter((each) => each !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  };
  for (const execution of ledger.executions) {
    const from = overFrom(execution);
    const node = nodes.find(({ nodeId }) => nodeId === execution.nodeId);
    if (from === undefined || node?.process.state !== 'running') continue;
    const until = execution.endedAt ?? scheduler.elapsed;
    const bound = setting.isQuick ? from + 500 : Math.max(from, HORIZON_MS) + WORD_MS;
    if (until > bound) {
      yield `x${execution.id} of ${execution.sessionId} ran on ${execution.nodeId} until ${until.toFixed()}, and was not its own since ${from.toFixed()}`;
    }
  }
};
