/** Checks the headers of a request, in the order and with the texts of the SDK's transport. */
import type { Request } from 'express';
import type { Cause, Mounted, RequestInfo } from '../replica/replica.js';
import { baseOf, headerOf, hostOf, urlOf } from './incoming-request.js';
import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '../protocol/protocol-versions.js';
import { authInfoOf } from './principal.js';
import { RefusalError, REFUSALS, unsupportedVersion } from './response/refusals.js';

/** The form of every session id that this library gives out. A text of another form cannot name a session. */
const SESSION_ID = /^[!-z|~]{1,256}$/;

/**
 * True for visible ASCII (specification, transports) without braces. With braces in its id, the keys of a session would be on
 * different servers of a Redis Cluster.
 */
export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}

export function requireAccept(req: Request, types: readonly string[]): void {
  const accept = headerOf(req, 'accept');
  if (types.every((type) => accept?.includes(type))) return;
  const refusal = types.length > 1 ? REFUSALS.postNotAcceptable : REFUSALS.getNotAcceptable;
  throw new RefusalError(refusal);
}

/** Any number of `;name=value`, whose value is a token or quoted (RFC 9110, section 5.6.6). */
const PARAMETERS =
  /^(?:; *[\w!#$%&'*+.^`|~-]+ *= *(?:"(?:[ !#-[\]-~\x80-\xff]|\\[ -\xff])*"|[\w!#$%&'*+.^`|~-]+) *)*$/;

/**
 * True if the media type is `application/json`, with any parameters. The whole type is compared, because a parameter of
 * another type may contain the text `application/json`. Malformed parameters are accepted unless they contain a comma, which
 * shows that two headers were joined.
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
 * Returns the content type as middleware in front has left it. If middleware has not changed it, and the client sent several
 * lines of this header, all lines are joined. Node keeps only the first line, but a proxy in front may have looked at another
 * one.
 */
function contentTypeOf(req: Request): string {
  const header = headerOf(req, CONTENT_TYPE) ?? '';
  const lines = linesOf(CONTENT_TYPE, req.rawHeaders);
  return lines.length > 1 && lines[0] === header ? lines.join(', ') : header;
}

/** Returns all lines of a header that the client sent, or none if an adapter does not provide them. */
function linesOf(wanted: string, rawHeaders: string[] | undefined = []): string[] {
  const lines: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    // Compare the length first, because this runs for every header of every request.
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
  const id = headerOf(req, 'mcp-session-id');
  return id === '' ? undefined : id;
}

/**
 * Returns the protocol version that the client speaks. A request without the header counts as 2025-03-26, whatever its
 * method, as in the SDK's transport. The specification (transports) says that such a client does not know the header. An
 * unsupported version is refused.
 */
export function spokenVersionOf(req: Request): string {
  const version = headerOf(req, 'mcp-protocol-version');
  if (version === undefined) return DEFAULT_NEGOTIATED_PROTOCOL_VERSION;
  if (!SUPPORTED_PROTOCOL_VERSIONS.includes(version)) {
    throw new RefusalError(unsupportedVersion(version, SUPPORTED_PROTOCOL_VERSIONS));
  }
  return version;
}

/** True if the request names a revision that no session can have, as requests of 2026-07-28 do. */
export function namesOtherVersion(req: Request): boolean {
  const version = headerOf(req, 'mcp-protocol-version');
  return version !== undefined && !SUPPORTED_PROTOCOL_VERSIONS.includes(version.trim());
}

/** The part of the HTTP request that handlers see. Its URL is computed only when it is read, because that takes work. */
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

  /**
   * Adds `url` to JSON, such as log lines, because JSON leaves getters of a class out. `url` is such a getter and not a
   * field, because making a field costs more than the rest of this class.
   */
  toJSON(): object {
    return { headers: this.headers, url: this.url };
  }
}

/** How a request looked where this middleware is mounted. Each field is read only if it is needed. */
class MountedRequest implements Mounted {
  constructor(readonly req: Request) {}

  get base(): string {
    return baseOf(this.req);
  }

  get parsed(): Mounted['parsed'] {
    return parsedOf(this.req.body);
  }
}

export function requestInfoOf(req: Request): RequestInfo {
  return new ExpressRequestInfo(req);
}

/** What a server gets along with the messages of a request. */
export function causeOf(req: Request): Cause {
  return {
    authInfo: authInfoOf(req),
    requestInfo: requestInfoOf(req),
    mounted: new MountedRequest(req),
  };
}

/**
 * Returns the headers, each as one text. In Node only `Set-Cookie` is a list. But middleware in front may have set another
 * header to a list, or to `undefined` to hide it.
 */
export function textsOf(req: Request): Record<string, string> {
  const { headers } = req;
  for (const name in headers) {
    if (typeof headers[name] !== 'string' || name.startsWith(':')) return asTexts(req);
  }
  // A copy, so that a handler may change it.
  return { ...(headers as Record<string, string>) };
}

/** Converts headers that are not all texts, and leaves out the pseudo-headers of HTTP/2. `:authority` becomes `host`. */
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
  // A parser that does not handle this type of body leaves an empty object (Express 4). A message is never empty.
  const isParsed = typeof body === 'object' && body !== null && Object.keys(body).length > 0;
  return isParsed ? 'json' : undefined;
}
