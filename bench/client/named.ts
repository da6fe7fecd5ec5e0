/** Objects to which another process refers by number. */
export class Named<T> {
  readonly #things = new Map<number, T>();
  #last = 0;

  add(thing: T): number {
    this.#last += 1;
    this.#things.set(this.#last, thing);
    return this.#last;
  }

  get(name: number): T {
    const found = this.#things.get(name);
    if (found === undefined) throw new Error(`There is nothing with the number ${name}`);
    return found;
  }

  remove(name: number): void {
    this.#things.delete(name);
  }
}
