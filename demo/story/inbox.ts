/** What has arrived, in order, and a way to await what has not yet. */
export class Inbox<T> {
  readonly items: T[] = [];
  readonly #watchers = new Set<() => void>();

  push(item: T): void {
    this.items.push(item);
    for (const watch of [...this.#watchers]) watch();
  }

  /**
   * Resolves with the first item that fits, arrived already or not, from the given index on. Rejects after
   * `patienceMs`, and says that `what` has not arrived.
   */
  async until(fits: (item: T) => boolean, what: string, patienceMs: number, from = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const look = () => {
        const item = this.items.slice(from).find(fits);
        if (item === undefined) return;
        settle();
        resolve(item);
      };
      const timer = setTimeout(() => {
        settle();
        reject(new Error(`${what} did not arrive within ${patienceMs} ms`));
      }, patienceMs);
      this.#watchers.add(look);
      look();
    });
  }
}
