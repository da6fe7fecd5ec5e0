/** Bounds the size and shape of the messages of one POST, before the SDK or other code works on them. */
import type { Limits } from '../../options/limits.js';
import type { JsonShape } from '../../protocol/json/json-shape.js';
import { exceededByValue } from '../../protocol/json/json-shape.js';
import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isMessage, isRequest } from '../../protocol/json/jsonrpc.js';
import {
  handshakeTooLarge,
  messageTooDeep,
  messageTooLarge,
  RefusalError,
  REFUSALS,
  tooManyValues,
} from '../response/refusals.js';

/** The longest request id, in characters. Every part that knows the request uses the id as a key. */
const LONGEST_ID = 1024;
/**
 * How many values an `initialize` may have. The SDK looks at each value several times, which takes up to 30 µs. Real clients
 * send a few dozen values.
 */
const HANDSHAKE_VALUES = 1_000;

/**
 * Returns how deep a whole body may be nested, and how many values it may have. A batch is one level deeper than its
 * messages.
 */
export function shapeOf(isBatch: boolean, { jsonDepth, jsonValues }: Limits): JsonShape {
  return { depth: isBatch ? jsonDepth + 1 : jsonDepth, values: jsonValues };
}

/** Throws the refusal for a body that exceeds one of these limits, if it exceeds one. */
export function refuseShape(
  exceeded: keyof JsonShape | undefined,
  { jsonDepth, jsonValues }: Limits,
): void {
  if (exceeded === 'depth') throw new RefusalError(messageTooDeep(jsonDepth));
  if (exceeded === 'values') throw new RefusalError(tooManyValues(jsonValues));
}

/**
 * Checks the size of each message and the length of its id. `bytes` is the length of the whole body, or `Infinity` if it is
 * not known.
 */
export function checkMessages(list: JsonRpcMessage[], bytes: number, limits: Limits): void {
  const { handshakeBytes, messageBytes } = limits;
  for (const message of list) {
    if (bytes > messageBytes && sizeOf(message) > messageBytes) {
      throw new RefusalError(messageTooLarge(messageBytes));
    }
    if (isRequest(message) && String(message.id).length > LONGEST_ID) {
      throw new RefusalError(REFUSALS.idTooLong);
    }
  }
  if (
    list.some(isInitialize) &&
    bytes > handshakeBytes &&
    sizeOf(list.length === 1 ? list[0] : list) > handshakeBytes
  ) {
    throw new RefusalError(handshakeTooLarge(handshakeBytes));
  }
  checkValues(list, bytes, limits);
}

/** Refuses a body that has too many values for the SDK to look at. The items of `list` need not be messages. */
export function checkValues(list: unknown[], bytes: number, { messageValues }: Limits): void {
  const most = list.some(isInitialize) ? Math.min(HANDSHAKE_VALUES, messageValues) : messageValues;
  // Each value takes at least two characters, so a short body cannot have too many.
  if (bytes <= 2 * most) return;
  const exceeded = exceededByValue(list.map(checkedBySdk), { depth: Infinity, values: most });
  if (exceeded !== undefined) throw new RefusalError(tooManyValues(most));
}

function isInitialize(value: unknown): boolean {
  const { method } = (value ?? {}) as { method?: unknown };
  return method === 'initialize';
}

/** The part of a message in which the SDK looks at each value. It does not look into the values of a tool's arguments. */
function checkedBySdk(value: unknown): unknown {
  if (!isMessage(value) || !('method' in value) || value.method !== 'tools/call') return value;
  const { arguments: given, ...params } = value.params ?? {};
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given);
  return [params, isObject ? Object.keys(given) : given];
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
