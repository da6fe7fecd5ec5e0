/** Formats a message as one line. Strangers wrote the message, so its members may have any types. */
import { isObject } from '../../protocol/json/jsonrpc.js';
import { HIDDEN, isSecretName, withoutSecrets } from './secrets.js';

/** The most characters of a message. The rest is left out before secrets are searched. */
const MOST_CHARACTERS = 2_000;
/** The most characters of one text in a message. */
const MOST_OF_TEXT = 1_000;
const DEEPEST = 8;
/** The most characters of a long text without spaces. It may be a secret whose end was cut off. */
const BEGINNING = 80;
const CUT = '…';

/**
 * Returns a line of bounded length, in bounded time. It hides what looks like a secret, as a courtesy for screens. `--json`
 * shows the whole message. It never throws.
 */
export function preview(message: unknown): string {
  if (!isObject(message)) return excerpt(message);
  if ('error' in message) {
    const { code, message: text } = isObject(message.error) ? message.error : {};
    return joined('error', excerpt(code), excerpt(text));
  }
  if ('result' in message) return resultText(message.result);
  const { method, params } = message;
  if (!isObject(params)) return excerpt(params);
  switch (method) {
    case 'tools/call':
    case 'prompts/get':
      return joined(excerpt(params.name), withoutBraces(params.arguments));
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
    case 'notifications/resources/updated':
      return excerpt(params.uri);
    case 'notifications/message':
      return joined(excerpt(params.level), withoutBraces(params.data));
    default:
      return withoutBraces(params, '_meta');
  }
}

function resultText(result: unknown): string {
  if (!isObject(result)) return excerpt(result);
  const { content, isError } = result;
  const first: unknown = Array.isArray(content) ? content[0] : undefined;
  const said =
    isObject(first) && typeof first.text === 'string' ? excerpt(first.text) : withoutBraces(result);
  return isError === true ? `failed: ${said}` : said;
}

/** Formats a value like `excerpt`, but an object without members as an empty text. */
function withoutBraces(value: unknown, without?: string): string {
  const text = excerpt(value, without);
  return text === '{}' ? '' : text;
}

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}

/** Returns the beginning of a value: a text as it is, other values as JSON. It leaves out the member named `without`. */
function excerpt(value: unknown, without?: string): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return shortened(value);
  const writer = new Writer(without);
  writer.write(value, 0);
  return writer.text;
}

function shortened(text: string): string {
  if (text.length <= MOST_OF_TEXT) return withoutSecrets(text);
  // Cut between words. A part of a secret may not look like a secret.
  let end = MOST_OF_TEXT;
  while (end > 0 && !/\s/.test(text.charAt(end - 1))) end -= 1;
  const kept = withoutSecrets(text.slice(0, MOST_OF_TEXT)).slice(0, BEGINNING);
  return `${end === 0 ? kept : withoutSecrets(text.slice(0, end))}${CUT}`;
}

/** Writes JSON until it is long enough. It goes no deeper than `DEEPEST`, so that no value overflows the stack. */
class Writer {
  text = '';

  constructor(private readonly without: string | undefined) {}

  write(value: unknown, depth: number): void {
    if (this.isFull()) return;
    if (Array.isArray(value)) this.list(value as unknown[], depth);
    else if (isObject(value)) this.members(value, depth);
    else if (typeof value === 'string') this.text += JSON.stringify(shortened(value));
    else this.text += isPrintable(value) ? String(value) : 'null';
  }

  private list(items: unknown[], depth: number): void {
    if (depth === DEEPEST && items.length > 0) {
      this.text += `[${CUT}]`;
      return;
    }
    this.text += '[';
    for (let at = 0; at < items.length && !this.isFull(); at += 1) {
      if (at > 0) this.text += ',';
      this.write(items[at], depth + 1);
    }
    this.text += ']';
  }

  private members(value: Record<string, unknown>, depth: number): void {
    this.text += '{';
    let first = true;
    // `Object.keys` would make a list of all names, however many there are.
    for (const name in value) {
      if (!Object.hasOwn(value, name)) continue;
      const inner = value[name];
      if (inner === undefined || (depth === 0 && name === this.without)) continue;
      if (depth === DEEPEST || this.isFull()) {
        this.text += CUT;
        break;
      }
      if (!first) this.text += ',';
      first = false;
      this.text += `${JSON.stringify(shortened(name))}:`;
      const hides = isSecretName(name) && inner !== null && inner !== '';
      this.write(hides ? HIDDEN : inner, depth + 1);
    }
    this.text += '}';
  }

  private isFull(): boolean {
    return this.text.length > MOST_CHARACTERS;
  }
}

function isPrintable(value: unknown): value is number | boolean | bigint {
  return typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint';
}
