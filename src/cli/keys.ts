import { readFileSync } from 'node:fs';
import { aesGcmCodec } from '../codec/aes-gcm.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import { CommandError, EXIT, orUsage } from './exit.js';

/**
 * Says where the keys of the nodes' codec are. A key is never an argument, because other users of the machine can see
 * arguments.
 */
export interface KeyChoice {
  keyFile?: string | undefined;
  allowPlaintext?: boolean | undefined;
  /** Only the command `serve` has this option. */
  decryptOnly?: boolean | undefined;
}

export const KEYS_VARIABLE = 'ANYNODE_KEYS';

/** Returns the codec with the given keys, or `undefined` if there are none. Errors name the place of a wrong key, not the key. */
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
  if (keyFile !== undefined) throw new CommandError(EXIT.usage, `${keyFile} contains no key`);
  if (!allowPlaintext && !decryptOnly) return undefined;
  const option = allowPlaintext ? '--allow-plaintext' : '--decrypt-only';
  throw new CommandError(
    EXIT.usage,
    `${option} needs keys: give --key-file, or set ${KEYS_VARIABLE}`,
  );
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(EXIT.usage, `cannot read the keys: ${reason}`, { cause }, [
      `--key-file has to name a file that this user may read; the keys can also be in ${KEYS_VARIABLE}`,
    ]);
  }
}

/** Parses keys, one `<id>=<key>` per line or separated by commas. The first one is the current key. */
function parse(source: string, text: string): Map<string, string> {
  const keys = new Map<string, string>();
  for (const [at, line] of text.split(/[\n,]/).entries()) {
    const entry = line.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    // A key without an id may end with `=`. It must not be taken for an id, which messages repeat.
    const [, id, key] = /^([A-Za-z0-9_-]{1,64})=([^=].*)$/.exec(entry) ?? [];
    if (id === undefined || key === undefined || keys.has(id)) {
      const wrong = id === undefined ? 'is not <id>=<key>' : 'repeats an id';
      throw new CommandError(EXIT.usage, `${source}: entry ${at + 1} ${wrong}`);
    }
    keys.set(id, key);
  }
  return keys;
}
