/** The role of a backplane that tells which nodes hold a lease. Only `NodeWatch` decides from this that a node is dead. */
export interface NodeLeases {
  /**
   * Returns which of these nodes hold a lease. Rejects with `backplane_unavailable`, also while the backplane refuses writes. No
   * lease can be renewed then, so a missing lease does not prove that its node is dead.
   */
  alive(nodeIds: string[]): Promise<Set<string>>;

  /**
   * Returns since when this node has held its own lease without interruption, by `clock.elapsed()`. `undefined`: the node may
   * not hold its lease now. After the lease was lost and renewed, this time is half a `leaseMs` after the renewal, because by
   * then all other nodes have renewed their leases too. The call sends nothing.
   */
  steadySince(): number | undefined;
}
