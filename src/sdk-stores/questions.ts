import type { QueuedRequest } from './store-types.js';

/**
 * Brings the answer to a request in a task's queue back to the server that asked. The request is made on the node that works
 * on the task, sent on the node where the client waits for the result, and answered on any node.
 */
export interface Questions {
  /**
   * Gives the request an id that leads its answer to this node and to the server of this session. `undefined`: this node has
   * no server of the session.
   */
  adopt(sessionId: string, request: QueuedRequest): QueuedRequest | undefined;
  /** Notes that the request is about to be sent with the id that it has. */
  sending(request: QueuedRequest): void;
  /**
   * Ends a request that will not be sent, and tells the server that asked. Returns the request with the id that this node's
   * server knows, if that server made it.
   */
  retract(sessionId: string, request: QueuedRequest): QueuedRequest | undefined;
}
