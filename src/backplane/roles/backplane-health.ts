/** The role of a backplane that tells whether it can be used now. */
export interface BackplaneHealth {
  /**
   * Resolves when the backplane was reached, the node holds its lease, and messages of other nodes arrive. It waits for as long
   * as that takes. It rejects only after `leave`, with `closed`.
   */
  ready(): Promise<void>;

  /** Returns what is wrong, in words for an operator, or `undefined` while all is well. Costs nothing. */
  trouble(): string | undefined;

  /** The name of the backplane in log output, such as `Redis at 10.0.0.1:6379`, without credentials. Left out: no name. */
  readonly address?: string | undefined;
}
