/** Milliseconds by the clock that all processes of a machine share: what one notes, another can subtract. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface Quantiles {
  p50: number;
  p99: number;
}

/** Sorts the values. */
export function quantiles(values: number[]): Quantiles {
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.floor(values.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** CPU time of this process so far, in microseconds. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
