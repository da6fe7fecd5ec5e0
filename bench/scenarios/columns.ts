import type { Column } from '../report/table.js';

/** The median of a metric. */
export function plain(title: string, metric: string, digits: number, scale = 1): Column {
  return { title, digits, scale, value: (rounds, name) => rounds.of(name, metric) };
}

/** A metric against that of another contestant, with the spread of the ratio. */
export function ratio(title: string, metric: string, to: string): Column {
  return {
    ...{ title, digits: 2, withSpread: true },
    value: (rounds, name) => (name === to ? undefined : rounds.ratio(name, to, metric)),
  };
}

/** Rate, latency and CPU per operation. */
export function loadColumns(rate: string): Column[] {
  return [
    plain(rate, 'rate', 0),
    plain('p50 ms', 'p50', 2),
    plain('p99 ms', 'p99', 2),
    plain('CPU µs', 'cpu', 0),
    plain('Redis µs', 'redisCpu', 0),
  ];
}
