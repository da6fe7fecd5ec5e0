import { parseArgs } from 'node:util';

export interface Options {
  quick: boolean;
  /** The names of the scenarios to run. An empty list means all. */
  only: string[];
  rounds: number;
  /** What runs the servers: a path or a major version. `undefined`: the program that runs this. */
  node: string | undefined;
  /** What runs some servers once more. */
  beside: string | undefined;
  /** The file for the figures, as JSON. */
  json: string | undefined;
  /** Whether to put the results into docs/performance.md. */
  write: boolean;
  /** Whether to put the counted figures into bench/counts.json. */
  accept: boolean;
  /** How long the soak takes. */
  minutes: number;
}

/** Parses the arguments. Throws if they are not valid. */
export function parseOptions(args: string[], scenarios: readonly string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      node: { type: 'string' },
      beside: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      accept: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '10' },
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
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes < Infinity)) {
    throw new Error(`--minutes has to be a number above 0, and is ${values.minutes}`);
  }
  const { quick, node, beside, json, write, accept } = values;
  return { quick, only, rounds, node, beside, json, write, accept, minutes };
}
