import { randomBytes } from 'node:crypto';

/** Of the ids of nodes. 36^10: no two nodes of a cluster share one, without asking anybody. */
export const NODE_ID_LENGTH = 10;

/**
 * Ten characters 0–9a–z, of which the first is a letter: nothing that begins with it reads as a number, which is what the SDK
 * takes the id of an answer for. The bytes above the last multiple of 36 are thrown away, so that all are equally likely.
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
