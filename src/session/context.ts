/** What accompanies a request on its way to another node. It goes there with the request, and is stored nowhere. */
import { STANDALONE } from '../backplane/backplane.js';
import type { SessionNode } from './node.js';
import type { DeliveryContext } from './replica.js';
import type { AuthInfo } from './types.js';

interface Packed {
  authInfo?: Omit<AuthInfo, 'resource'> & { resource?: string };
  headers?: Record<string, string>;
  url?: string;
  /** The client can come back to its streams. */
  resumable: boolean;
}

/** As JSON. Of `authInfo.extra` arrives what JSON can carry. */
export function packContext({ authInfo, requestInfo, closeSSEStream }: DeliveryContext): string {
  const packed = {
    ...(authInfo !== undefined && { authInfo }),
    ...(requestInfo !== undefined && { headers: requestInfo.headers, url: requestInfo.url }),
    resumable: closeSSEStream !== undefined,
  };
  return JSON.stringify(packed);
}

/** For a request of `stream`; `undefined`: for a message that has none. */
export function unpackContext(
  node: Pick<SessionNode, 'hangUp'>,
  text: string,
  sessionId: string,
  stream: string | undefined,
): DeliveryContext {
  const { authInfo, headers, url, resumable } = JSON.parse(text) as Packed;
  const { resource, ...rest } = authInfo ?? { resource: undefined };
  return {
    authInfo:
      authInfo === undefined
        ? undefined
        : ({ ...rest, ...(resource !== undefined && { resource: new URL(resource) }) } as AuthInfo),
    requestInfo:
      headers === undefined || url === undefined ? undefined : { headers, url: new URL(url) },
    ...(resumable &&
      stream !== undefined && {
        closeSSEStream: () => node.hangUp(sessionId, stream),
        closeStandaloneSSEStream: () => node.hangUp(sessionId, STANDALONE),
      }),
  };
}
