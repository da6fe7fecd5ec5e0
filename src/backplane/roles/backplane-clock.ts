/** The role of a backplane that tells the time. All stored times, and all times that nodes compare, are of its clock. */
export interface BackplaneClock {
  /**
   * Returns the time of the clock that dates the steps of the session or task with this id, in milliseconds since the epoch. In
   * a cluster, each server has its own clock. The id need not exist. Rejects with `backplane_unavailable`.
   */
  timeOf(id: string): Promise<number>;
}
