/** Numbers that were seen, as ranges. Memory grows with the number of holes, and not with that of the numbers. */
export class OrdinalRanges {
  /** Pairs of the first and the last number, in order, with holes between them. */
  private readonly ranges: { first: number; last: number }[] = [];

  /** Adds a number. Returns false if it was there. */
  add(number: number): boolean {
    const at = this.indexOf(number);
    const before = this.ranges[at];
    const after = this.ranges[at + 1];
    if (before !== undefined && number <= before.last) return false;
    const extendsBefore = before?.last === number - 1;
    const extendsAfter = after?.first === number + 1;
    if (extendsBefore && extendsAfter) {
      before.last = after.last;
      this.ranges.splice(at + 1, 1);
    } else if (extendsBefore) before.last = number;
    else if (extendsAfter) after.first = number;
    else this.ranges.splice(at + 1, 0, { first: number, last: number });
    return true;
  }

  /** Returns the holes between the ranges. */
  holes(): { first: number; last: number }[] {
    return this.ranges.slice(1).map(({ first }, at) => ({
      first: (this.ranges[at]?.last ?? 0) + 1,
      last: first - 1,
    }));
  }

  /** Returns the lowest number, if there is one. */
  lowest(): number | undefined {
    return this.ranges[0]?.first;
  }

  /** Returns the index of the last range that begins at or before a number, or -1. */
  private indexOf(number: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ranges[middle]?.first ?? Infinity) <= number) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
