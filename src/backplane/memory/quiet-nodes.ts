/** So many nodes may have left something in a session before it is looked for what may go. */
const MANY_NODES = 64;
const QUIET_MS = 3_600_000;

/**
 * Each start of a node leaves the number of its last commit behind in a session, and perhaps its name among the replicas. Where
 * there are many, those of nodes go that have committed nothing for an hour. See commit/quiet-nodes.lua.
 */
export class QuietNodes {
  /** The numbers at the last look. */
  private before: { at: number; numbers: ReadonlyMap<string, number> } | undefined;

  constructor(
    private readonly numbers: Map<string, number>,
    private readonly replicas: Set<string>,
  ) {}

  /** With the first commit of a node in the session. */
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
