import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Origin } from './payloads.js';

/** So many nodes are remembered. */
const NODES = 1_000;
/** So many numbers back a message may come late: a few seconds of a node that encodes all it can. 16 KiB for each node. */
const NUMBERS = 131_072;

interface Heard {
  highest: number;
  /** A bit for each of the last {@link NUMBERS} numbers. */
  bits: Uint8Array;
}

/**
 * The texts that other nodes have sent to this one, by the numbers that the senders gave them. Each is heard once: whoever
 * can publish can repeat what was published. What comes later than {@link NUMBERS} allows was heard, or counts as lost.
 */
export class HeardNumbers {
  private readonly nodes = new BoundedMap<string, Heard>(NODES);

  /** Whether the text was not heard before. It is remembered then. */
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

/** Clears the bits of these numbers, which stand for numbers that are too old now. */
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
