/** How many nodes may have an entry in a session before old entries are looked for. */
const MANY_NODES = 64;
const QUIET_MS = 3_600_000;

/**
 * Removes what nodes that are gone have left in a session. Each start of a node leaves the number of its last commit, and
 * perhaps its name among the replicas. If there are many, those of nodes that committed nothing for an hour are removed. See
 * commit/quiet-nodes.lua.
 */
export class QuietNodes {
  /** The commit numbers at the last look. */
  private before: { at: number; numbers: ReadonlyMap<string, number> } | undefined;

  constructor(
    private readonly numbers: Map<string, number>,
    private readonly replicas: Set<string>,
  ) {}

  /** Looks for quiet nodes. Called with the first commit of a node in the session. */
  look(nodeId: string, now: number): void {
    const all = new Map([...this.replicas].map((name) => [name, 0]));
    for (const [name, number] of this.numbers) all.set(name, number);
    all.delete(nodeId);
    if (all.size <= MANY_NODES) return;
    const { at, numbers } = this.before ?? { at: -QUIET_MS, numbers: new Map<string, number>() };
    if (now >= at && now - at < QUIET_MS) return;
    for (const [name, number] of numbers) {
      if (all.get(name) !== number) continue;
      all.delete(name);
      this.numbers.delete(name);
      this.replicas.delete(name);
    }
    this.before = { at: now, numbers: all };
  }
}
