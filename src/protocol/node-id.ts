import { randomBytes } from 'node:crypto';

/** With 36^10 possible ids, two nodes of a cluster never have the same one in practice. Nodes need not coordinate them. */
export const NODE_ID_LENGTH = 10;

/**
 * Returns ten characters 0–9a–z, the first of which is a letter. Request ids begin with a node id, and the SDK converts
 * the id of an answer to a number. The letter keeps such an id from being a number. Bytes from 252 on (the last multiple
 * of 36 below 256) are skipped, so that all characters are equally likely.
 */
export function randomNodeId(): string {
  let id = '';
  while (id.length < NODE_ID_LENGTH) {
    for (const byte of randomBytes(NODE_ID_LENGTH)) {
      if (byte >= 252 || id.length === NODE_ID_LENGTH) continue;
      const digit = byte % 36;
      if (id !== '' || digit >= 10) id += digit.toString(36);
    }
  }
  return id;
}
