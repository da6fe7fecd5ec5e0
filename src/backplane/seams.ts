/**
 * What the SDK's own seams are kept in. Separate from sessions: each part may be used by itself, and a backplane may do
 * without all of it.
 */
export interface SeamStore {
  readonly broadcasts: Broadcasts;
}

/** Texts for every node that listens. */
export interface Broadcasts {
  /** Stores a text, and wakes the nodes that listen, this one excepted. Rejects with `backplane_unavailable`. */
  publish(text: string): Promise<void>;
  /**
   * From this call on, what other nodes publish, once each, in one order for all nodes; what a lost message or connection
   * holds up comes later. Returns its end.
   */
  listen(listener: BroadcastListener): () => void;
}

export interface BroadcastListener {
  /** Must not throw. */
  onText(text: string): void;
  /** Some were not kept for as long as this node could not hear: nobody knows which. */
  onGap(): void;
}

/** So many broadcasts are kept for nodes that could not hear for a while. */
export const KEPT_BROADCASTS = 1000;
