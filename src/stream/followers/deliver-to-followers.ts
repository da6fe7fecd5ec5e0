import type { AppendOperation, Operation, OperationResult } from '../../backplane/backplane.js';
import type { Followers } from './followers.js';

/** Hands an appended message to the follower of its stream, if that is on this node. */
export function deliverToFollower(
  followers: Followers,
  sessionId: string,
  { stream, message }: AppendOperation,
  result: OperationResult | undefined,
): void {
  if (result?.status === 'repeated') {
    // The message is in the log. Its position was lost with the first reply, so the follower has to read the log.
    followers.find(sessionId, stream)?.poke();
  } else if (result?.status === 'appended' && result.token !== undefined) {
    const { position, token, before, ended } = result;
    const event = { position, message, end: ended, ...(before !== undefined && { before }) };
    followers.offer(sessionId, stream, token, event, true, 'local');
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
