/** The role of a backplane that carries messages from node to node. */
import type { NodeMessage } from '../node-messages.js';

export interface NodeInboxes {
  /**
   * Sends a message to one node, at most once. Resolves when the message is on its way, even if the node does not exist.
   * Messages from one node to another arrive in the order of the calls. Rejects with `backplane_unavailable`.
   */
  send(nodeId: string, message: NodeMessage): Promise<void>;
}
