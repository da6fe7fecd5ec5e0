/** Puts a message into its record: redacted, with its digest, and encoded if that is wanted. */
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import type { Redact, RedactContext } from '../../options/public-types.js';
import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import { digestOf, sealedContext, textOf } from '../chain.js';
import type { AuditRecord } from '../record.js';

export interface KeepOptions {
  redact?: Redact | undefined;
  /** Encodes the messages of the records. Left out: they are kept in clear. */
  sealWith?: PayloadCodec | undefined;
  /** Called if `redact` throws. The message is left out of its record then. */
  onRedactFailed?: ((error: unknown) => void) | undefined;
}

/**
 * Sets the fields of a record that keep its message. Throws what the codec throws, because a message that has to be encoded
 * must not be kept in clear.
 */
export function keepMessage(
  message: JsonRpcMessage,
  context: RedactContext,
  salt: () => string,
  record: AuditRecord,
  { redact, sealWith, onRedactFailed }: KeepOptions,
): void {
  let shown: JsonRpcMessage | undefined = message;
  let text = textOf(message);
  if (redact !== undefined) {
    ({ shown, text } = redacted(message, text, context, { redact, onRedactFailed }));
    if (shown !== message) record.redacted = true;
    if (shown === undefined) return;
  }
  record.bytes = Buffer.byteLength(text);
  record.salt = salt();
  record.digest = digestOf(record.salt, text);
  if (sealWith === undefined) record.message = shown;
  else record.sealed = sealWith.encode(text, sealedContext(context.sessionId));
}

/**
 * Keeps a message that this archiver cannot decode, as it is stored. Another reader may have the key. Do not call it if there
 * is a `redact`, which cannot see such a message.
 */
export function keepUnreadable(stored: string, salt: () => string, record: AuditRecord): void {
  record.bytes = Buffer.byteLength(stored);
  record.salt = salt();
  record.digest = digestOf(record.salt, stored);
  record.sealed = stored;
}

/** Applies `redact`. Returns the given message if it has changed nothing. */
function redacted(
  message: JsonRpcMessage,
  before: string,
  context: RedactContext,
  { redact, onRedactFailed }: KeepOptions,
): { shown: JsonRpcMessage | undefined; text: string } {
  try {
    const changed: unknown = redact?.(message, context);
    if (changed === undefined) return { shown: undefined, text: '' };
    const text = JSON.stringify(changed) as string | undefined;
    // `redact` may have changed the message in place. So the texts are compared.
    if (text === before) return { shown: message, text };
    // The record has what the digest covers, and nothing that JSON does not have.
    const value = JSON.parse(text ?? '') as unknown;
    if (!isObject(value)) throw new TypeError('it has returned something that is not a message');
    return { shown: value as unknown as JsonRpcMessage, text: text ?? '' };
  } catch (error) {
    onRedactFailed?.(error);
    return { shown: undefined, text: '' };
  }
}
