/**
 * Packs the context of a client's message (authorization, headers, URL) for its way to another node. The context is sent
 * with the message, and is never stored.
 */
import { STANDALONE } from '../../backplane/backplane.js';
import type { HangUps } from '../../stream/hang-ups.js';
import type { DeliveryContext, Mounted } from '../../replica/replica.js';
import type { AuthInfo } from '../../options/public-types.js';
import { parseTrace } from '../../protocol/trace.js';

interface Packed {
  authInfo?: Omit<AuthInfo, 'resource'> & { resource?: string };
  headers?: Record<string, string>;
  url?: string;
  mounted?: Omit<Mounted, 'req'>;
  /** True if the client can resume its streams. */
  resumable: boolean;
  trace?: string;
}

/** Packs the context as JSON. Fields of `authInfo` and of its `extra` that JSON cannot carry are left out. Never throws. */
export function packContext(context: DeliveryContext): string {
  const { authInfo } = context;
  try {
    return pack(context, authInfo);
  } catch {
    const { extra, ...rest } = authInfo ?? {};
    const carried = { ...carriedOf(rest), ...(extra && { extra: carriedOf(extra) }) };
    return pack(context, carried as AuthInfo);
  }
}

function pack(
  { requestInfo, mounted, closeSSEStream, trace }: DeliveryContext,
  authInfo: AuthInfo | undefined,
): string {
  const packed = {
    ...(authInfo !== undefined && { authInfo }),
    ...(requestInfo !== undefined && { headers: requestInfo.headers, url: requestInfo.url }),
    ...(mounted !== undefined && { mounted: { base: mounted.base, parsed: mounted.parsed } }),
    resumable: closeSSEStream !== undefined,
    ...(trace !== undefined && { trace }),
  };
  return JSON.stringify(packed);
}

function carriedOf(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => isJson(value)));
}

function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

/** Unpacks the context for a request of `stream`, or, with `undefined`, for a message without a stream. */
export function unpackContext(
  hangUps: HangUps,
  text: string,
  sessionId: string,
  stream: string | undefined,
): DeliveryContext {
  const { authInfo, headers, url, mounted, resumable, ...packed } = JSON.parse(text) as Packed;
  const trace = parseTrace(packed.trace);
  const { resource, ...rest } = authInfo ?? { resource: undefined };
  // The application sets `req.auth`, and its value may not match the declared type.
  const isUrl = typeof resource === 'string' && URL.canParse(resource);
  return {
    authInfo:
      authInfo === undefined
        ? undefined
        : ({ ...rest, ...(isUrl && { resource: new URL(resource) }) } as AuthInfo),
    requestInfo:
      headers === undefined || url === undefined ? undefined : { headers, url: new URL(url) },
    mounted,
    ...(trace !== undefined && { trace }),
    ...(resumable &&
      stream !== undefined && {
        closeSSEStream: () => hangUps.hangUp(sessionId, stream),
        closeStandaloneSSEStream: () => hangUps.hangUp(sessionId, STANDALONE),
      }),
  };
}
