import type { AppendOperation, Operation, OperationResult } from '../backplane/backplane.js';
import type { Followers } from './followers.js';

/** Shows what was appended to the follower on this node, if the stream has one here. */
export function deliverToFollower(
  followers: Followers,
  sessionId: string,
  { stream, message }: AppendOperation,
  result: OperationResult | undefined,
): void {
  if (result?.status === 'repeated') {
    // It is in the log, where exactly was lost with the first reply: whoever follows here, look.
    followers.find(sessionId, stream)?.poke();
  } else if (result?.status === 'appended' && result.token !== undefined) {
    const { position, token, ended } = result;
    followers.offer(sessionId, stream, token, { position, message, end: ended }, true);
  }
}

export function deliverToFollowers(
  followers: Followers,
  sessionId: string,
  operations: Operation[],
  results: OperationResult[],
): void {
  operations.forEach((operation, at) => {
    if (operation.type === 'append')
      deliverToFollower(followers, sessionId, operation, results[at]);
  });
}
