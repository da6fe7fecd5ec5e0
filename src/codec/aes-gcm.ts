import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import type { PayloadCodec, PayloadContext } from '../backplane/encoded/payloads.js';

/** Options of `aesGcmCodec()`. */
export interface AesGcmOptions {
  /**
   * The keys by their ids: 32 random bytes each, as bytes, or as text in base64, base64url or 64 hexadecimal digits. Ids are
   * up to 64 letters, digits, `-` and `_`; they are no secret, because each encrypted text begins with the id of its key.
   */
  keys: Record<string, Uint8Array | string>;
  /** The id of the key that encrypts. The others only decrypt. */
  current: string;
  /**
   * Whether the node still reads texts that were stored in clear before there was a codec. If so, a person who can write to
   * the backplane can put messages into sessions, as without a codec. Default `false`.
   */
  allowPlaintext?: boolean;
  /**
   * With `true`, the node encrypts nothing, but reads what other nodes encrypt. This is the first step of turning
   * encryption on in a cluster that runs. It needs `allowPlaintext`. Default `false`.
   */
  decryptOnly?: boolean;
}

/** The beginning of each encrypted text. No JSON begins like this. */
const MARK = 'aes1.';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/**
 * Encrypts the texts of sessions with AES-256-GCM. Each text has a new random nonce of 96 bits, and is bound to its session
 * and kind: it cannot be decrypted as a text of another session or kind.
 *
 * Several keys allow rotation: add the new key on all nodes, then make it `current` on all nodes, and remove the old one when
 * all sessions that used it have ended. Throws a `TypeError` for wrong keys and ids. The error never contains a key.
 *
 * The lengths and times of messages are not hidden. `SECURITY.md` says what an attacker can do who can write to the backplane
 * but has no key.
 */
export function aesGcmCodec({
  keys,
  current,
  allowPlaintext = false,
  decryptOnly = false,
}: AesGcmOptions): PayloadCodec {
  const given = (keys as AesGcmOptions['keys'] | undefined) ?? {};
  const known = new Map(Object.entries(given).map(([id, key]) => [id, keyOf(id, key)]));
  const encrypting = known.get(current);
  if (encrypting === undefined) {
    throw new TypeError(
      `mcp-anynode: \`current\` is ${JSON.stringify(current)}, but \`keys\` has ${listOf(known.keys())}`,
    );
  }
  if (decryptOnly && !allowPlaintext) {
    throw new TypeError('mcp-anynode: `decryptOnly` stores plaintext: it needs `allowPlaintext`');
  }
  return {
    encode(text, context) {
      if (decryptOnly) return text;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', encrypting, nonce);
      cipher.setAAD(boundTo(context, current));
      const sealed = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()];
      return `${MARK}${current}.${Buffer.concat(sealed).toString('base64url')}`;
    },
    decode(text, context) {
      if (!text.startsWith(MARK)) {
        if (allowPlaintext) return text;
        throw new Error('it is not encrypted, and `allowPlaintext` is not set');
      }
      const dot = text.indexOf('.', MARK.length);
      const id = text.slice(MARK.length, dot);
      const key = known.get(id);
      if (dot < 0 || key === undefined) {
        throw new Error(
          `it was encrypted with key ${JSON.stringify(id)}, which is not among the keys`,
        );
      }
      const sealed = Buffer.from(text.slice(dot + 1), 'base64url');
      if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('it is too short');
      const options = { authTagLength: TAG_BYTES };
      const nonce = sealed.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, options);
      decipher.setAAD(boundTo(context, id));
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      try {
        const opened = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([opened, decipher.final()]).toString('utf8');
      } catch {
        throw new Error(
          `key ${JSON.stringify(id)} does not fit: it is another key, or the text was changed or is of another session`,
        );
      }
    },
  };
}

/**
 * Returns the additional authenticated data to which a text is bound. Kinds, key ids and session ids have no newline, so no
 * two contexts give the same data.
 */
function boundTo({ sessionId, kind, taskId }: PayloadContext, keyId: string): Buffer {
  const task = taskId === undefined ? '' : `\n${taskId}`;
  return Buffer.from(`mcp-anynode\n${keyId}\n${kind}\n${sessionId}${task}`);
}

function keyOf(id: string, key: Uint8Array | string): KeyObject {
  const name = `mcp-anynode: the key ${JSON.stringify(id)}`;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
    throw new TypeError(`${name} needs an id of up to 64 letters, digits, \`-\` and \`_\``);
  }
  const bytes = bytesOf(key);
  if (bytes === undefined) {
    throw new TypeError(`${name} has to be bytes, or text in base64 or hexadecimal digits`);
  }
  if (bytes.length !== KEY_BYTES) {
    throw new TypeError(`${name} has to have ${KEY_BYTES} bytes, and has ${bytes.length}`);
  }
  return createSecretKey(bytes);
}

function bytesOf(key: unknown): Uint8Array | undefined {
  if (key instanceof Uint8Array) return key;
  if (typeof key !== 'string') return undefined;
  if (/^[0-9a-f]{64}$/i.test(key)) return Buffer.from(key, 'hex');
  // Node decodes both alphabets and skips other characters. Without this check, it would decode the remaining characters of a
  // passphrase to a key.
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(key) ? Buffer.from(key, 'base64') : undefined;
}

function listOf(ids: Iterable<string>): string {
  const list = [...ids].map((id) => JSON.stringify(id)).join(', ');
  return list === '' ? 'none' : list;
}
