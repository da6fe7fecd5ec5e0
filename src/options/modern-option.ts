import type { AuthInfo } from './public-types.js';

/** What serves revision 2026-07-28, which has no sessions. Both parts come from the v2 SDK, and the user provides them. */
export interface Modern {
  /** The result of the v2 SDK's `createMcpHandler`. */
  handler: ModernHandler;
  /**
   * The v2 SDK's function of this name. A request that it calls legacy gets a session. Any other request goes to `handler`.
   */
  isLegacyRequest(request: globalThis.Request, parsedBody?: unknown): Promise<boolean>;
}

/** The members of the v2 SDK's `McpHttpHandler` that are used. */
export interface ModernHandler {
  fetch(
    request: globalThis.Request,
    options?: { authInfo?: AuthInfo; parsedBody?: unknown },
  ): Promise<globalThis.Response>;
  close(): Promise<void>;
}

/** A change that clients may have subscribed to (`subscriptions/listen`): the SDK's `ServerEvent`. */
export type ServerEvent = (
  | { kind: 'tools_list_changed' }
  | { kind: 'prompts_list_changed' }
  | { kind: 'resources_list_changed' }
  | { kind: 'resource_updated'; uri: string }
) & { params?: { [key: string]: unknown } | undefined };

/** The `bus` of the v2 SDK's `createMcpHandler`, which works across all nodes. */
export interface ServerEventBus {
  /**
   * Tells the listeners of this node at once, and those of other nodes through the backplane. Returns before that is done
   * and does not throw. If the backplane cannot be reached within `commandTimeoutMs`, the other nodes are not told, and a
   * warning is logged.
   */
  publish(event: ServerEvent): void;
  /**
   * Calls `listener` with the events of all nodes from now on. A node that could not hear for a while gets the missed events
   * later, in order. If some of them are no longer kept, it gets one of each `…_list_changed`. Returns a function that ends
   * the subscription. It may be called twice.
   */
  subscribe(listener: (event: ServerEvent) => void): () => void;
}
