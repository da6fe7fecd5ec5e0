import type { World } from '../world.js';

/** With `affinity: 'owner'` a session has one server object after another: none runs anything once its successor has. */
export function* oneOwner({ setting, ledger }: World): Iterable<string> {
  if (setting.affinity !== 'owner') return;
  const current = new Map<string, object>();
  const former = new Map<object, string>();
  for (const { id, sessionId, nodeId, server, at } of ledger.executions) {
    const before = current.get(sessionId);
    if (before === server) continue;
    if (before !== undefined) former.set(before, `x${id}`);
    current.set(sessionId, server);
    const successor = former.get(server);
    if (successor !== undefined) {
      yield `x${id} ran on ${nodeId} at ${at}, whose server object had a successor that ran ${successor}`;
    }
  }
}
