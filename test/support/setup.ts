import { afterEach, expect } from 'vitest';
import { TESTED_MUTANTS } from '../mutants/mutants.js';

const { MUTANT } = process.env;
if (MUTANT !== undefined) await TESTED_MUTANTS.find(({ name }) => name === MUTANT)?.plant();

/**
 * Vitest fails the run for each unhandled rejection or exception, but not if there is another listener for these events. So
 * no test, and no code under test, may leave such a listener behind.
 */
const events = ['unhandledRejection', 'uncaughtException'] as const;
const listeners = events.map((event) => process.listenerCount(event));

afterEach(() => {
  expect(
    events.map((event) => process.listenerCount(event)),
    `listeners for ${events.join(' and ')}`,
  ).toEqual(listeners);
});
