import { spread, type Spread } from './spread.js';

/** What one contestant did in one round, by name. */
export type Sample = Record<string, number>;

/** The samples of several contestants, taken in turn: the ones of a round were taken one right after another. */
export class Rounds<Name extends string = string, Metric extends string = string> {
  readonly #samples: Map<Name, Record<Metric, number>[]>;

  constructor(samples: Map<Name, Record<Metric, number>[]>) {
    this.#samples = samples;
  }

  get names(): Name[] {
    return [...this.#samples.keys()];
  }

  of(name: Name, metric: Metric): Spread {
    return spread(this.#values(name, metric));
  }

  /** Of the ratios within each round, since the machine's speed drifts from one to the next. */
  ratio(name: Name, to: Name, metric: Metric): Spread {
    const reference = this.#values(to, metric);
    return spread(
      this.#values(name, metric).map((value, round) => value / (reference[round] ?? Number.NaN)),
    );
  }

  /** Of whatever is to be calculated from the values of one round. */
  each(calculate: (value: (name: Name, metric: Metric) => number) => number): Spread {
    const count = Math.min(...Array.from(this.#samples.values(), ({ length }) => length));
    return spread(
      Array.from({ length: count }, (_, round) =>
        calculate((name, metric) => this.#values(name, metric)[round] ?? Number.NaN),
      ),
    );
  }

  #values(name: Name, metric: Metric): number[] {
    return (this.#samples.get(name) ?? []).map((sample) => sample[metric]);
  }
}

/**
 * Lets the contestants take turns: A B C, A B C, and so on, after `warmUps` rounds that do not count.
 */
export async function inTurn<Name extends string, Metric extends string>(
  { rounds, warmUps }: { rounds: number; warmUps: number },
  contestants: Record<Name, () => Promise<Record<Metric, number>>>,
): Promise<Rounds<Name, Metric>> {
  const turns = Object.entries(contestants) as [Name, () => Promise<Record<Metric, number>>][];
  const samples = new Map(turns.map(([name]) => [name, [] as Record<Metric, number>[]]));
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const [name, take] of turns) {
      const sample = await take();
      if (round >= 0) samples.get(name)?.push(sample);
    }
  }
  return new Rounds(samples);
}
