/** The shapes that the SDK documents for its seams, so that types of none of its versions are needed here. */

/** A change that clients may have subscribed to (`subscriptions/listen`): the SDK's `ServerEvent`. */
export type ServerEvent = (
  | { kind: 'tools_list_changed' }
  | { kind: 'prompts_list_changed' }
  | { kind: 'resources_list_changed' }
  | { kind: 'resource_updated'; uri: string }
) & { params?: { [key: string]: unknown } | undefined };

/** The `bus` of the v2 SDK's `createMcpHandler`, for all nodes. */
export interface ServerEventBus {
  /**
   * Tells the listeners of this node at once, and those of all others through the backplane. Returns before that is
   * done and does not throw; if the backplane cannot be reached in `commandTimeoutMs`, the others are not told, and a
   * warning says so.
   */
  publish(event: ServerEvent): void;
  /**
   * From now on, events of all nodes. A node that could not hear for a while gets what it missed when it can, in order;
   * if some of that is not kept any more, one of each `…_list_changed`. Returns its end, which may be called again.
   */
  subscribe(listener: (event: ServerEvent) => void): () => void;
}

/** What the SDK lets others store, in the backplane. Nothing is subscribed, stored or timed before it is used. */
export interface Seams {
  /** For the v2 SDK's `createMcpHandler({ bus })`: `subscriptions/listen` hears of changes on all nodes. */
  readonly serverEventBus: ServerEventBus;
}
