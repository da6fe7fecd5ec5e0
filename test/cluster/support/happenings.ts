/** What has happened in a process, by name and count, so that a test can await it instead of sleeping. */
export class Happenings {
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  count(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  happened(name: string): void {
    this.#counts.set(name, this.count(name) + 1);
    for (const look of this.#waiting) look();
  }

  /** Resolves when it has happened so many times in all, at once if it has. Stays pending if it never does. */
  until(name: string, times = 1): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.count(name) < times) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
