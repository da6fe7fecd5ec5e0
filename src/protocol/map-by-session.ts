/**
 * Values by session and by a key within it. What belongs to one session is in a map of its own, which goes when it is empty.
 *
 * This is for what comes and goes with each request. In a single `Map` that lives for long such values would cost much garbage
 * collection: each time it makes room, V8 leaves its old table behind until the next full collection, and whatever was in it.
 */
export class MapBySession<Key, Value> {
  private readonly sessions = new Map<string, Map<Key, Value>>();

  get(sessionId: string, key: Key): Value | undefined {
    return this.sessions.get(sessionId)?.get(key);
  }

  set(sessionId: string, key: Key, value: Value): void {
    const known = this.sessions.get(sessionId);
    if (known !== undefined) known.set(key, value);
    else this.sessions.set(sessionId, new Map([[key, value]]));
  }

  delete(sessionId: string, key: Key): void {
    const values = this.sessions.get(sessionId);
    values?.delete(key);
    if (values?.size === 0) this.sessions.delete(sessionId);
  }

  clear(): void {
    this.sessions.clear();
  }

  isEmpty(): boolean {
    return this.sessions.size === 0;
  }

  sessionIds(): string[] {
    return [...this.sessions.keys()];
  }

  ofSession(sessionId: string): Value[] {
    return [...(this.sessions.get(sessionId)?.values() ?? [])];
  }

  all(): Value[] {
    return [...this.sessions.values()].flatMap((values) => [...values.values()]);
  }
}
