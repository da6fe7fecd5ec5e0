/** The role of a backplane that tells whether it can be used now. */
export interface BackplaneHealth {
  /**
   * Resolves when the backplane was reached, the node's lease is held, and messages of other nodes arrive. Until then it
   * waits, however long that takes. Rejects with `closed` after `leave`, and with nothing else.
   */
  ready(): Promise<void>;

  /** Returns what is wrong, in words for an operator, or `undefined` while all is well. Costs nothing. */
  trouble(): string | undefined;

  /** What the log calls the backplane, such as `Redis at 10.0.0.1:6379`. It has no credentials. Left out: no name. */
  readonly address?: string | undefined;
}
