/** The role of a backplane that tells which nodes live. What makes a node dead is decided in one place: see `NodeWatch`. */
export interface NodeLeases {
  /**
   * Returns those of these nodes that hold a lease. Rejects with `backplane_unavailable`, in particular while the backplane
   * refuses writes: leases cannot be renewed then, and a missing lease does not tell that its node is dead.
   */
  alive(nodeIds: string[]): Promise<Set<string>>;

  /**
   * Returns since when this node has held its own lease without interruption, by `clock.elapsed()`. `undefined`: it may not
   * hold its lease now. After it has lost its lease, it counts as having held it from half a `leaseMs` after it was renewed:
   * by then all other nodes have theirs again, too. Costs nothing.
   */
  steadySince(): number | undefined;
}
