/** The role of a backplane that keeps the application's own state of a session (`mcp.session(id).state`). */

/** Each call may reject with `backplane_unavailable`. */
export interface ApplicationState {
  /** Returns the state of a session, or `undefined` if there is no such session. Changes nothing. */
  loadState(sessionId: string): Promise<StoredState | undefined>;

  /**
   * Stores a state in one atomic step, if the version of the stored state still is `expected`. With `undefined`, every version
   * will do. Returns `conflict` if the state has another version, and `gone` if there is no such session. Both change nothing. A repeat
   * after a lost reply answers as the first try did.
   *
   * The new version ends with this node's id, a colon and `mark`. No two stores of a node have the same mark.
   * Without `mark`, the backplane chooses one.
   */
  storeState(
    sessionId: string,
    value: string,
    expected: string | undefined,
    mark?: string,
  ): Promise<'stored' | 'conflict' | 'gone'>;
}

export interface StoredState {
  /**
   * The version of the state, which names the store that made it: `<count>.<node>:<mark>`. No two stores of a session make the
   * same version, even if a failover has lost some of them. Empty if nothing was stored yet.
   */
  version: string;
  /** The text that was stored, or `undefined` if none was. */
  value: string | undefined;
}
