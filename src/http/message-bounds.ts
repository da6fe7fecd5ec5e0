/** What the messages of one POST may look like. All of this is decided before the SDK, or anything else, works on them. */
import type { Limits } from '../limits.js';
import type { JsonShape } from '../protocol/json-shape.js';
import { exceededByValue } from '../protocol/json-shape.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isRequest } from '../protocol/jsonrpc.js';
import {
  handshakeTooLarge,
  messageTooDeep,
  messageTooLarge,
  RefusalError,
  REFUSALS,
  tooManyValues,
} from './reply.js';

/** Of a request's id, which is a key wherever the request is known. */
const LONGEST_ID = 1024;
/** The SDK looks at each value of an `initialize` several times, which takes up to 30 µs for each. Real clients send a few dozen. */
const HANDSHAKE_VALUES = 1_000;

/** The shape of a whole body. A batch is one level more than its messages. */
export function shapeOf(isBatch: boolean, { jsonDepth, jsonValues }: Limits): JsonShape {
  return { depth: isBatch ? jsonDepth + 1 : jsonDepth, values: jsonValues };
}

export function refuseShape(
  exceeded: keyof JsonShape | undefined,
  { jsonDepth, jsonValues }: Limits,
): void {
  if (exceeded === 'depth') throw new RefusalError(messageTooDeep(jsonDepth));
  if (exceeded === 'values') throw new RefusalError(tooManyValues(jsonValues));
}

/** `bytes`: of the whole body; `Infinity` if it is not known. */
export function checkMessages(list: JsonRpcMessage[], bytes: number, limits: Limits): void {
  const { handshakeBytes, messageBytes, messageValues } = limits;
  for (const message of list) {
    if (bytes > messageBytes && sizeOf(message) > messageBytes) {
      throw new RefusalError(messageTooLarge(messageBytes));
    }
    if (isRequest(message) && String(message.id).length > LONGEST_ID) {
      throw new RefusalError(REFUSALS.idTooLong);
    }
  }
  const isHandshake = list.some(
    (message) => 'method' in message && message.method === 'initialize',
  );
  if (
    isHandshake &&
    bytes > handshakeBytes &&
    sizeOf(list.length === 1 ? list[0] : list) > handshakeBytes
  ) {
    throw new RefusalError(handshakeTooLarge(handshakeBytes));
  }
  const most = isHandshake ? Math.min(HANDSHAKE_VALUES, messageValues) : messageValues;
  // Each value takes two characters, so that short bodies need not be looked through.
  if (bytes <= 2 * most) return;
  const exceeded = exceededByValue(list.map(checkedBySdk), { depth: Infinity, values: most });
  if (exceeded !== undefined) throw new RefusalError(tooManyValues(most));
}

/** The part of a message in which the SDK looks at each value: it does not look into the values of a tool's arguments. */
function checkedBySdk(message: JsonRpcMessage): unknown {
  if (!('method' in message) || message.method !== 'tools/call') return message;
  const { arguments: given, ...params } = message.params ?? {};
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given);
  return [params, isObject ? Object.keys(given) : given];
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
