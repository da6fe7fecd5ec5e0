import type { QueuedRequest } from './store-types.js';

/**
 * How the answer to a request finds back that waits in a task's queue: it is asked on the node that works on the task,
 * sent on the one where the client waits for the result, and answered on any.
 */
export interface Questions {
  /**
   * Gives the request an id by which its answer is brought to this node, and to the server of this session.
   * `undefined`: there is none here.
   */
  adopt(sessionId: string, request: QueuedRequest): QueuedRequest | undefined;
  /** It is about to be sent, with the id that it has. */
  sending(request: QueuedRequest): void;
  /** It will not be sent: whoever asked is to hear that. Returns the request as this node's server knows it, if it is its own. */
  retract(sessionId: string, request: QueuedRequest): QueuedRequest | undefined;
}
