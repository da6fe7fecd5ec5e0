/** What a message says, in one line. It was written by strangers, and need not be what its type says. */
import { isObject } from '../../protocol/jsonrpc.js';
import { HIDDEN, isSecretName, withoutSecrets } from './secrets.js';

/** Of a message, before anything is looked for in it. More is shown nowhere. */
const MOST_CHARACTERS = 2_000;
/** Of one text in it. */
const MOST_OF_TEXT = 1_000;
const DEEPEST = 8;
/** Of a text without spaces that is longer than what is kept: its beginning may be that of a secret. */
const BEGINNING = 80;
const CUT = '…';

/**
 * A line of bounded length, in bounded time. What looks like a secret is left out, as a courtesy for screens; `--json` has it
 * all. Never throws.
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

/** An object without members says nothing. */
function withoutBraces(value: unknown, without?: string): string {
  const text = excerpt(value, without);
  return text === '{}' ? '' : text;
}

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}

/** The beginning of a value: a text as it is, everything else as JSON. `without`: not its member of this name. */
function excerpt(value: unknown, without?: string): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return shortened(value);
  const writer = new Writer(without);
  writer.write(value, 0);
  return writer.text;
}

function shortened(text: string): string {
  if (text.length <= MOST_OF_TEXT) return withoutSecrets(text);
  // Half a secret need not look like one: what is cut off ends where a word does.
  let end = MOST_OF_TEXT;
  while (end > 0 && !/\s/.test(text.charAt(end - 1))) end -= 1;
  const kept = withoutSecrets(text.slice(0, MOST_OF_TEXT)).slice(0, BEGINNING);
  return `${end === 0 ? kept : withoutSecrets(text.slice(0, end))}${CUT}`;
}

/** Writes JSON until it is long enough. Goes no deeper than `DEEPEST`, so that no value ends the stack. */
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
    // Not `Object.keys`, which would make a list of all of them.
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
