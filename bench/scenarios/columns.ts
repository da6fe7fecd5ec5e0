import type { Column } from '../report/table.js';
import type { LoadMetric } from '../run/bench.js';
import type { Contestant } from '../server/contestants.js';

type LoadColumn = Column<Contestant, LoadMetric>;

/** Rate, latency and CPU of each contestant, and its rate and CPU against those it is compared with. */
export function loadColumns(
  rate: string,
  reference: Contestant,
  second?: Contestant,
): LoadColumn[] {
  return [
    plain(rate, 'rate', 0),
    plain('p50 ms', 'p50', 2),
    plain('p99 ms', 'p99', 2),
    plain('CPU µs', 'cpu', 0),
    plain('Redis µs', 'redisCpu', 0),
    ratio('rate ÷ SDK', 'rate', reference),
    ratio('CPU ÷ SDK', 'cpu', reference),
    ...(second === undefined ? [] : [ratio('rate ÷ SDK+Redis', 'rate', second)]),
    plain('client busy %', 'client', 0, 100),
  ];
}

function plain(title: string, metric: LoadMetric, digits: number, scale = 1): LoadColumn {
  return { title, digits, scale, value: (rounds, name) => rounds.of(name, metric) };
}

function ratio(title: string, metric: LoadMetric, to: Contestant): LoadColumn {
  return {
    ...{ title, digits: 2, withSpread: true },
    value: (rounds, name) => (name === to ? undefined : rounds.ratio(name, to, metric)),
  };
}
