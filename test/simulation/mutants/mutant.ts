import type { Setting } from '../plan.js';

/** A fault that a programmer could make. It replaces some methods of `src`. */
export interface Mutant {
  name: string;
  /** Replaces the methods, for the rest of this process. */
  plant: () => void;
  /** The settings of the runs in which the fault is looked for. It does not show in other runs. */
  setting?: Partial<Setting>;
  /**
   * The seed to begin with. Left out: 1. A rare fault begins close to a seed that finds it, so that a test run stays short.
   */
  from?: number;
  /** The simulator has to find the fault within this many seeds. Default: 1000. */
  seeds?: number;
}

/**
 * Returns the methods of a class as they are now, so that their replacements can call them. A method is replaced by an
 * assignment to the prototype, a private method in brackets. So the name of a method that was renamed is a type error.
 */
export function methodsOf<T extends object>(prototype: T): T {
  return Object.create(
    Object.getPrototypeOf(prototype) as object,
    Object.getOwnPropertyDescriptors(prototype),
  ) as T;
}
