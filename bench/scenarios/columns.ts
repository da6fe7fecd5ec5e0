import type { Column } from '../report/table.js';

/** Returns a column with the median of a metric. */
export function plain(title: string, metric: string, digits: number, scale = 1): Column {
  return { title, digits, scale, value: (rounds, name) => rounds.of(name, metric) };
}

/** Returns a column with the ratio of a metric to that of another contestant, with its spread. */
export function ratio(title: string, metric: string, to: string): Column {
  return {
    ...{ title, digits: 2, withSpread: true },
    value: (rounds, name) => (name === to ? undefined : rounds.ratio(name, to, metric)),
  };
}

/** Returns the columns for rate, latency and CPU per operation. */
export function loadColumns(rate: string): Column[] {
  return [
    plain(rate, 'rate', 0),
    plain('p50 ms', 'p50', 2),
    plain('p99 ms', 'p99', 2),
    plain('CPU µs', 'cpu', 0),
    plain('Redis µs', 'redisCpu', 0),
  ];
}
