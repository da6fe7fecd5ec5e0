/** Returns milliseconds of a clock that all processes of a machine share, so that times of two processes can be compared. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface Quantiles {
  p50: number;
  p99: number;
}

/** Returns quantiles of the values. Sorts the array itself. */
export function quantiles(values: number[]): Quantiles {
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.floor(values.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Returns the CPU time of this process so far, in microseconds. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
