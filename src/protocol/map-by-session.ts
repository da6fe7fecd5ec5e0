/**
 * Values by session and by a key within the session. Each session has its own inner map, which is deleted when it is empty.
 *
 * It holds values that come and go with each request. A single long-lived `Map` of such values is expensive to collect:
 * each time it grows, V8 keeps the old table and its values until the next full garbage collection.
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
