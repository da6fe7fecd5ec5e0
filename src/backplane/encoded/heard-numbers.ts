import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Origin } from './payloads.js';

/** How many nodes are remembered. */
const NODES = 1_000;
/**
 * How far a number may be behind the highest one. A node that encodes at full speed needs a few seconds for as many. This
 * takes 16 KiB for each node.
 */
const NUMBERS = 131_072;

interface Heard {
  highest: number;
  /** One bit for each of the last {@link NUMBERS} numbers. */
  bits: Uint8Array;
}

/**
 * Remembers the numbers of texts that other nodes have sent to this node, so that each is accepted once. An attacker who can
 * publish could repeat a text. A number older than {@link NUMBERS} allows counts as received.
 */
export class HeardNumbers {
  private readonly nodes = new BoundedMap<string, Heard>(NODES);

  /** True if the text was not received before. It is remembered then. */
  isNew({ nodeId, number }: Origin): boolean {
    const heard = this.nodes.get(nodeId) ?? { highest: 0, bits: new Uint8Array(NUMBERS / 8) };
    if (number <= heard.highest - NUMBERS) return false;
    if (number > heard.highest) {
      clear(heard.bits, heard.highest + 1, number);
      heard.highest = number;
    }
    const [at, bit] = placeOf(number);
    const byte = heard.bits[at] ?? 0;
    if ((byte & bit) !== 0) return false;
    heard.bits[at] = byte | bit;
    this.nodes.set(nodeId, heard);
    return true;
  }
}

/** Clears the bits for these numbers. They still stand for numbers that are too old now. */
function clear(bits: Uint8Array, from: number, to: number): void {
  if (to - from + 1 >= NUMBERS) {
    bits.fill(0);
    return;
  }
  for (let number = from; number <= to;) {
    const [at, bit] = placeOf(number);
    if (bit === 1 && to - number >= 7) {
      bits[at] = 0;
      number += 8;
    } else {
      bits[at] = (bits[at] ?? 0) & ~bit;
      number += 1;
    }
  }
}

function placeOf(number: number): [at: number, bit: number] {
  const place = number % NUMBERS;
  return [place >> 3, 1 << (place & 7)];
}
