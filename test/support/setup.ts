import { afterEach, expect } from 'vitest';
import { TESTED_MUTANTS } from '../mutants/mutants.js';

const { MUTANT } = process.env;
if (MUTANT !== undefined) await TESTED_MUTANTS.find(({ name }) => name === MUTANT)?.plant();

/**
 * Vitest fails the run for a rejection or an exception that nobody handles, wherever it happens, but holds its tongue
 * as soon as there is one more listener for them. So no test and nothing under test may leave one behind.
 */
const events = ['unhandledRejection', 'uncaughtException'] as const;
const listeners = events.map((event) => process.listenerCount(event));

afterEach(() => {
  expect(
    events.map((event) => process.listenerCount(event)),
    `listeners for ${events.join(' and ')}`,
  ).toEqual(listeners);
});
