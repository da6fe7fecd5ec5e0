import { spread, type Spread } from './spread.js';

/** The figures of one contestant in one round, by metric. */
export type Sample = Record<string, number>;

/** The samples of several contestants. The samples of a round were taken right after each other. */
export class Rounds {
  readonly #samples: ReadonlyMap<string, readonly Sample[]>;

  constructor(samples: ReadonlyMap<string, readonly Sample[]>) {
    this.#samples = samples;
  }

  get names(): string[] {
    return [...this.#samples.keys()];
  }

  of(name: string, metric: string): Spread {
    return spread(this.#values(name, metric));
  }

  /** Returns the spread of the ratios within each round, because the speed of the machine drifts between rounds. */
  ratio(name: string, to: string, metric: string): Spread {
    return this.each((value) => value(name, metric) / value(to, metric));
  }

  /** Returns the spread of a value that is calculated in each round. */
  each(calculate: (value: (name: string, metric: string) => number) => number): Spread {
    const count = Math.min(...Array.from(this.#samples.values(), ({ length }) => length));
    return spread(
      Array.from({ length: count }, (_, round) =>
        calculate((name, metric) => this.#values(name, metric)[round] ?? Number.NaN),
      ),
    );
  }

  /**
   * Returns the values of a metric. Throws if it was not measured, so that a mistake in a scenario does not become a
   * figure.
   */
  #values(name: string, metric: string): number[] {
    const samples = this.#samples.get(name);
    if (samples === undefined) throw new Error(`There is no contestant ${name}`);
    return samples.map(({ [metric]: value }) => {
      if (value === undefined) throw new Error(`There is no figure ${metric} of ${name}`);
      return value;
    });
  }
}

export type Turn<S extends Sample> = [name: string, take: () => Promise<S>];

/** Lets the contestants take turns: A B C, A B C, and so on, after `warmUps` rounds that do not count. */
export async function inTurn(
  { rounds, warmUps }: { rounds: number; warmUps: number },
  turns: readonly Turn<Sample>[],
): Promise<Rounds> {
  const samples = new Map(turns.map(([name]) => [name, [] as Sample[]]));
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const [name, take] of turns) {
      const sample = await take();
      if (round >= 0) samples.get(name)?.push(sample);
    }
  }
  return new Rounds(samples);
}
