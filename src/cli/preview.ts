import type { JsonRpcMessage } from '../protocol/jsonrpc.js';

/** Names of what is nobody's business on a screen. `progressToken` is no secret. */
const SECRET =
  /(?<!progress)(token|secret|passw(or)?d|passphrase|authorization|api[-_]?key|private[-_]?key|credentials?|cookie)$/i;
const BEARER = /\b(Bearer|Basic)\s+[\w.~+/=-]+/gi;
const JWT = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g;
/** The same in a text: of a configuration, a URL or JSON. */
const PAIR =
  /((?<!progress)(?:token|secret|passw(?:or)?d|passphrase|authorization|api[-_]?key|private[-_]?key|credentials?|cookie)\\?["']?\s*[:=]\s*)(\\?["'])?[^\s"'\\,;&})]+/gi;
const HIDDEN = '***';

/** What a message says, in one line that may be cut off. What looks like a secret is left out; `--json` has it all. */
export function preview(message: JsonRpcMessage): string {
  if ('error' in message) return `error ${message.error.code} ${hide(message.error.message)}`;
  if ('result' in message) return resultText(message.result);
  const { method, params } = message as { method: string; params?: Record<string, unknown> };
  if (params === undefined) return '';
  const { _meta, ...rest } = params;
  switch (method) {
    case 'tools/call':
    case 'prompts/get':
      return `${hide(String(rest.name))} ${text(rest.arguments)}`.trim();
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
    case 'notifications/resources/updated':
      return hide(String(rest.uri));
    case 'notifications/message':
      return `${String(rest.level)} ${text(rest.data)}`;
    default:
      return text(rest);
  }
}

function resultText(result: unknown): string {
  const { content, isError } = (result ?? {}) as { content?: unknown; isError?: unknown };
  const [first] = Array.isArray(content) ? (content as { text?: unknown }[]) : [];
  const said = typeof first?.text === 'string' ? hide(first.text) : text(result);
  return isError === true ? `failed: ${said}` : said;
}

function text(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return hide(value);
  const json = JSON.stringify(value, (name, inner: unknown) => {
    if (name !== '' && SECRET.test(name) && inner !== null && inner !== '') return HIDDEN;
    return typeof inner === 'string' ? hide(inner) : inner;
  });
  return json === '{}' ? '' : json;
}

function hide(value: string): string {
  return value
    .replace(BEARER, `$1 ${HIDDEN}`)
    .replace(JWT, HIDDEN)
    .replace(
      PAIR,
      (_, name: string, quote: string | undefined) => `${name}${quote ?? ''}${HIDDEN}`,
    );
}
