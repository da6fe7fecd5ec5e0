/**
 * A map that remembers at least the `least` entries that were set last, and at most twice as many.
 *
 * It does not forget one entry at a time, because that is slow: a `Map` whose first entries are deleted again and again
 * has to search for the first one that is left.
 */
export class BoundedMap<Key, Value> {
  private recent = new Map<Key, Value>();
  private older: ReadonlyMap<Key, Value> | undefined;

  constructor(private readonly least: number) {}

  has(key: Key): boolean {
    return this.recent.has(key) || this.older?.has(key) === true;
  }

  get(key: Key): Value | undefined {
    return this.recent.has(key) ? this.recent.get(key) : this.older?.get(key);
  }

  set(key: Key, value: Value): void {
    this.recent.set(key, value);
    if (this.recent.size < this.least) return;
    this.older = this.recent;
    this.recent = new Map();
  }
}
