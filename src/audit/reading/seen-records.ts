/** How many hashes are remembered. A batch that is delivered again comes soon after its first delivery. */
const MOST = 65_536;

/** The hashes of the last records, to leave out those that were delivered twice. */
export class SeenRecords {
  private readonly hashes = new Set<string>();

  /** Notes a record. Returns false if it was noted before. */
  isNew(hash: string): boolean {
    if (this.hashes.has(hash)) return false;
    this.hashes.add(hash);
    if (this.hashes.size <= MOST) return true;
    for (const oldest of this.hashes) {
      this.hashes.delete(oldest);
      break;
    }
    return true;
  }
}
