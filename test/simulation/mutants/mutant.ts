import type { Setting } from '../plan.js';

/** A fault that somebody could make: some methods of `src` do something else. */
export interface Mutant {
  name: string;
  /** Replaces the methods, for the rest of this process. */
  plant: () => void;
  /** What the runs have in common in which it is looked for: it shows in no others. */
  setting?: Partial<Setting>;
  /** The seed to begin with. A rare fault is not looked for from the first seed on in every test run. */
  from?: number;
  /** The simulator has to find the fault within so many seeds. Default: 1000. */
  seeds?: number;
}

/**
 * The methods of a class as they are now, to be called by those that replace them. They are replaced by assigning to the
 * prototype, private ones in brackets: both ways a method that was renamed is a type error.
 */
export function methodsOf<T extends object>(prototype: T): T {
  return Object.create(
    Object.getPrototypeOf(prototype) as object,
    Object.getOwnPropertyDescriptors(prototype),
  ) as T;
}
