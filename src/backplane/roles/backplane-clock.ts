/** The role of a backplane that tells the time. All moments that are stored or compared are by its clock. */
export interface BackplaneClock {
  /**
   * Returns what the clock says that the steps of the session or task of this id go by, in milliseconds since the epoch. The
   * id need not exist. Rejects with `backplane_unavailable`.
   */
  timeOf(id: string): Promise<number>;
}
