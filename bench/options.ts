import { parseArgs } from 'node:util';

export interface Options {
  quick: boolean;
  /** The names of the scenarios to run. An empty list means all. */
  only: string[];
  rounds: number;
  /** The file for the figures, as JSON. */
  json: string | undefined;
  /** Whether to put the results into docs/performance.md. */
  write: boolean;
}

/** Parses the arguments. Throws if they are not valid. */
export function parseOptions(args: string[], scenarios: readonly string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const only = values.only.split(',').filter((name) => name !== '');
  const unknown = only.filter((name) => !scenarios.includes(name));
  if (unknown.length > 0) {
    throw new Error(
      `There is no scenario ${unknown.join(', ')}; there are ${scenarios.join(', ')}`,
    );
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds has to be a whole number of at least 1, and is ${values.rounds}`);
  }
  if (values.write && (values.quick || only.length > 0)) {
    throw new Error('--write needs the whole run, without --quick and --only');
  }
  return { quick: values.quick, only, rounds, json: values.json, write: values.write };
}
