/** What the MCP endpoint asks of a request's headers, in the order and words of the SDK's transport. */
import type { Request } from 'express';
import type { Mounted, RequestInfo } from '../replica/replica.js';
import { MOUNTED } from '../replica/replica.js';
import { baseOf, hostOf, urlOf } from './incoming-request.js';
import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '../replica/sdk.js';
import { RefusalError, REFUSALS, unsupportedVersion } from './response/refusals.js';

/** Of a session id that this library can have given out; anything else cannot name a session. */
const SESSION_ID = /^[!-z|~]{1,256}$/;

/** Visible ASCII (specification, transports), but for braces, which would move a session's keys apart in a cluster. */
export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}

export function requireAccept(req: Request, types: readonly string[]): void {
  const accept = req.headers.accept;
  if (types.every((type) => accept?.includes(type))) return;
  const refusal = types.length > 1 ? REFUSALS.postNotAcceptable : REFUSALS.getNotAcceptable;
  throw new RefusalError(refusal);
}

/** `;name=value` as often as one likes, the value a token or quoted (RFC 9110, section 5.6.6). */
const PARAMETERS =
  /^(?:; *[\w!#$%&'*+.^`|~-]+ *= *(?:"(?:[ !#-[\]-~\x80-\xff]|\\[ -\xff])*"|[\w!#$%&'*+.^`|~-]+) *)*$/;

/**
 * The media type has to be `application/json`, whatever its parameters. Compared as a media type, not searched for: a
 * parameter of another type may contain the words. Broken parameters are forgiven, unless there is a comma in them:
 * that means that two headers were joined.
 */
export function isJson(req: Request): boolean {
  const header = contentTypeOf(req);
  if (header === 'application/json') return true;
  const type = header.split(';', 1)[0] ?? '';
  const parameters = header.slice(type.length);
  const joined = parameters.includes(',') && !PARAMETERS.test(parameters);
  return type.trim().toLowerCase() === 'application/json' && !joined;
}

export function requireJson(req: Request): void {
  if (!isJson(req)) throw new RefusalError(REFUSALS.mediaType);
}

const CONTENT_TYPE = 'content-type';

/**
 * What middleware in front has made of it counts. Where that is what the client has sent, further lines of it count, too:
 * Node has dropped them, and a proxy in front may have looked at one of them.
 */
function contentTypeOf({ headers, rawHeaders }: Request): string {
  const header = headers[CONTENT_TYPE] ?? '';
  const lines = linesOf(CONTENT_TYPE, rawHeaders);
  return lines.length > 1 && lines[0] === header ? lines.join(', ') : header;
}

/** All lines of a header that the client has sent; none where an adapter does not say. */
function linesOf(wanted: string, rawHeaders: string[] | undefined = []): string[] {
  const lines: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    // By its length first: this looks at every header of every request.
    if (name?.length !== wanted.length || name.toLowerCase() !== wanted) continue;
    lines.push(rawHeaders[at + 1] ?? '');
  }
  return lines;
}

export function requireSessionId(req: Request): string {
  const id = sessionIdOf(req);
  if (id === undefined) throw new RefusalError(REFUSALS.sessionIdRequired);
  if (!isSessionId(id)) throw new RefusalError(REFUSALS.sessionNotFound);
  return id;
}

export function sessionIdOf(req: Request): string | undefined {
  const id = req.headers['mcp-session-id'];
  return typeof id === 'string' && id !== '' ? id : undefined;
}

/**
 * The protocol version that the client speaks. Without the header it is taken for 2025-03-26, whatever the method, as in the
 * SDK's transport (specification, transports: such a client does not know the header). An unsupported version is refused.
 */
export function spokenVersionOf(req: Request): string {
  const version = req.headers['mcp-protocol-version'];
  if (typeof version !== 'string') return DEFAULT_NEGOTIATED_PROTOCOL_VERSION;
  if (!SUPPORTED_PROTOCOL_VERSIONS.includes(version)) {
    throw new RefusalError(unsupportedVersion(version, SUPPORTED_PROTOCOL_VERSIONS));
  }
  return version;
}

/** Whether the request names a revision that no session can have: requests of 2026-07-28 do. */
export function namesOtherVersion(req: Request): boolean {
  const version = req.headers['mcp-protocol-version'];
  return typeof version === 'string' && !SUPPORTED_PROTOCOL_VERSIONS.includes(version.trim());
}

/** What handlers get to see of the HTTP request: what takes work is made only when one looks. */
class ExpressRequestInfo implements RequestInfo {
  readonly headers: Record<string, string>;
  readonly #req: Request;

  constructor(req: Request) {
    this.headers = textsOf(req);
    this.#req = req;
  }

  get url(): URL {
    return urlOf(this.#req);
  }

  /** `url` is no field, which costs more than all the rest of this, but belongs to what is written to a log. */
  toJSON(): object {
    return { headers: this.headers, url: this.url };
  }

  get [MOUNTED](): Mounted {
    const req = this.#req;
    return { base: baseOf(req), parsed: parsedOf(req.body), req };
  }
}

export function requestInfoOf(req: Request): RequestInfo {
  return new ExpressRequestInfo(req);
}

/**
 * The headers as one text each, which they nearly always are: Node makes a list of `Set-Cookie` alone, but what is in front
 * may have put another one there, or `undefined` in the place of one that nobody is to see.
 */
export function textsOf(req: Request): Record<string, string> {
  const { headers } = req;
  for (const name in headers) {
    if (typeof headers[name] !== 'string' || name.startsWith(':')) return asTexts(req);
  }
  // A copy: what a handler changes in it is its own affair.
  return { ...(headers as Record<string, string>) };
}

/** HTTP/2 has pseudo-headers, which are none to anybody else, and `:authority` among them in the place of Host. */
function asTexts(req: Request): Record<string, string> {
  const texts: Record<string, string> = {};
  const host = hostOf(req);
  if (host !== undefined) texts.host = host;
  for (const [name, value] of Object.entries(req.headers)) {
    if (value === undefined || name.startsWith(':')) continue;
    texts[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return texts;
}

function parsedOf(body: unknown): Mounted['parsed'] {
  if (typeof body === 'string') return 'text';
  if (Buffer.isBuffer(body)) return 'raw';
  // What a parser leaves behind that was not meant for the body (Express 4) is empty; a message is not.
  const isParsed = typeof body === 'object' && body !== null && Object.keys(body).length > 0;
  return isParsed ? 'json' : undefined;
}
