import { readFileSync } from 'node:fs';
import { aesGcmCodec } from '../codec/aes-gcm.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import { CommandError, EXIT, orUsage } from './exit.js';

/** Where the keys of the nodes' codec are. Never on the command line itself, which other users of the machine can see. */
export interface KeyChoice {
  keyFile?: string | undefined;
  allowPlaintext?: boolean | undefined;
  /** Of `serve` only. */
  decryptOnly?: boolean | undefined;
}

export const KEYS_VARIABLE = 'ANYNODE_KEYS';

/** `undefined`: there are no keys. Errors say where a key is wrong, and nothing of what it is. */
export function codecOf(
  { keyFile, allowPlaintext = false, decryptOnly = false }: KeyChoice,
  variable: string | undefined = process.env[KEYS_VARIABLE],
): PayloadCodec | undefined {
  const [source, text] =
    keyFile === undefined ? [KEYS_VARIABLE, variable ?? ''] : [keyFile, read(keyFile)];
  const parsed = parse(source, text);
  const [current] = parsed.keys();
  if (current !== undefined) {
    const keys = Object.fromEntries(parsed);
    return orUsage(() => aesGcmCodec({ keys, current, allowPlaintext, decryptOnly }));
  }
  if (keyFile !== undefined) throw new CommandError(EXIT.usage, `there is no key in ${keyFile}`);
  if (!allowPlaintext && !decryptOnly) return undefined;
  const option = allowPlaintext ? '--allow-plaintext' : '--decrypt-only';
  throw new CommandError(EXIT.usage, `${option} needs keys: --key-file, or ${KEYS_VARIABLE}`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(EXIT.usage, `cannot read the keys: ${reason}`, { cause });
  }
}

/** `<id>=<key>` a line, the current one first. */
function parse(source: string, text: string): Map<string, string> {
  const keys = new Map<string, string>();
  for (const [at, line] of text.split(/[\n,]/).entries()) {
    const entry = line.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    // A key alone may end with `=`, and would be an id: it is not to be repeated.
    const [, id, key] = /^([A-Za-z0-9_-]{1,64})=([^=].*)$/.exec(entry) ?? [];
    if (id === undefined || key === undefined || keys.has(id)) {
      const wrong = id === undefined ? 'is not <id>=<key>' : 'has an id that was there before';
      throw new CommandError(EXIT.usage, `${source}: entry ${at + 1} ${wrong}`);
    }
    keys.set(id, key);
  }
  return keys;
}
