import type { Position } from '../backplane/backplane.js';
import type { SessionNode } from '../replica/session-node.js';
import { Follower } from '../stream/follower.js';
import type { Sink } from '../stream/follower.js';

/**
 * How long a node remembers where an ended connection came to, after the backplane knows: a successor that attached
 * before may only now ask for it. It may have learnt of its successor before that one asked, too.
 */
const REMEMBERED_MS = 1000;

/**
 * Puts a follower behind a connection and registers it on this node. The backplane knows the connection as the stream's
 * holder already; when it ends before the stream does, the claim is given up, with the position reached.
 */
export function follow(
  node: SessionNode,
  stream: { sessionId: string; name: string; token: string; position: Position },
  sink: Sink,
  onEnd: (follower: Follower) => void = () => undefined,
): Follower {
  const follower = new Follower({
    sessionId: stream.sessionId,
    stream: stream.name,
    token: stream.token,
    position: stream.position,
    sink,
    node,
    onEnd: (ended, reason) => {
      node.followers.remove(ended);
      onEnd(ended);
      // Nothing to give up: the stream or the session is over, or somebody else holds the stream.
      if (reason === 'gone') node.onGone(ended.sessionId);
      if (reason === 'complete' || reason === 'gone') return;
      const left = node.followers.leave(ended);
      const forget = (): void => void node.clock.after(REMEMBERED_MS, left);
      if (reason === 'replaced') {
        forget();
        return;
      }
      const { sessionId, stream: name, token, position } = ended;
      node.commitQueue
        .append(sessionId, [{ type: 'detach', stream: name, token, position }], true)
        .catch(() => undefined) // this node closes: a claim of a dead node counts for nothing
        .finally(forget);
    },
  });
  node.followers.add(follower);
  return follower;
}
