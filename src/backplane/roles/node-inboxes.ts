/** The role of a backplane by which nodes reach each other. */
import type { NodeMessage } from '../node-messages.js';

export interface NodeInboxes {
  /**
   * Sends a message to one node, at most once. Resolves when the message is on its way; that the node does not exist is no
   * error. Messages that one node sends to another one arrive in their order. Rejects with `backplane_unavailable`.
   */
  send(nodeId: string, message: NodeMessage): Promise<void>;
}
