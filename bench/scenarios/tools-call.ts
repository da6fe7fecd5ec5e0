import { underLoad, type Bench, type LoadMetric, type Scenario } from '../run/bench.js';
import { inTurn, type Rounds } from '../run/rounds.js';
import { tableOf, type Table } from '../report/table.js';
import { CONTESTANTS, TITLES, type Contestant } from '../server/contestants.js';
import { loadColumns } from './columns.js';

const CONCURRENCIES = [1, 16, 64];

/** In JSON mode the SDK stores nothing, with or without a store. */
const IN_JSON_MODE = ['sdk', 'memory', 'redis'] as const;

type Measured = Rounds<Contestant, LoadMetric>;

/** `tools/call` of an echo tool, on sessions that the node knows. */
export const toolsCall: Scenario = {
  name: 'tools-call',
  run: async (bench) => {
    if (!bench.quick) await warmUp(bench);
    const tables: Table[] = [];
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'sse', CONTESTANTS, concurrency));
    }
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'json', IN_JSON_MODE, concurrency));
    }
    return tables;
  },
};

/** Thousands of calls, until what runs often has been compiled: a single caller would not come so far in a round. */
async function warmUp({ fleet, load }: Bench): Promise<void> {
  const all = [
    ...CONTESTANTS.map((contestant) => ({ contestant, responseMode: 'sse' as const })),
    ...IN_JSON_MODE.map((contestant) => ({ contestant, responseMode: 'json' as const })),
  ];
  for (const settings of all) {
    const { url } = await fleet.shared(settings);
    const crowd = await load.open(url, 16);
    await crowd.call({ urls: [url], concurrency: 16, forMs: 2_000 });
    await crowd.end();
  }
}

async function compare(
  bench: Bench,
  responseMode: 'sse' | 'json',
  contestants: readonly Contestant[],
  concurrency: number,
): Promise<Table> {
  const forMs = bench.quick ? 60 : 800;
  const turns = await Promise.all(
    contestants.map(async (contestant) => {
      const node = await bench.fleet.shared({ contestant, responseMode });
      const crowd = await bench.load.open(node.url, concurrency);
      const call = () => crowd.call({ urls: [node.url], concurrency, forMs });
      return { contestant, end: crowd.end, take: () => underLoad(bench, [node], call) };
    }),
  );
  const measured: Measured = await inTurn(
    bench,
    Object.fromEntries(turns.map(({ contestant, take }) => [contestant, take])) as Record<
      Contestant,
      () => Promise<Record<LoadMetric, number>>
    >,
  );
  for (const { end } of turns) await end();

  const name = `tools-call.${responseMode}.c${concurrency}`;
  for (const contestant of contestants) {
    bench.note(`${name}.${contestant}.rate`, measured.of(contestant, 'rate'));
    bench.note(`${name}.${contestant}.p50`, measured.of(contestant, 'p50'));
    bench.note(`${name}.${contestant}.cpu`, measured.of(contestant, 'cpu'));
    for (const to of contestants) {
      if (to === contestant) continue;
      bench.note(`${name}.${contestant}/${to}.rate`, measured.ratio(contestant, to, 'rate'));
      bench.note(`${name}.${contestant}/${to}.p50`, measured.ratio(contestant, to, 'p50'));
      bench.note(`${name}.${contestant}/${to}.cpu`, measured.ratio(contestant, to, 'cpu'));
    }
  }
  const mode = responseMode === 'sse' ? 'SSE' : 'JSON';
  return tableOf(
    `tools/call, ${mode}, concurrency ${concurrency}`,
    measured,
    loadColumns('calls/s', 'sdk', responseMode === 'sse' ? 'sdk-redis-store' : undefined),
    TITLES,
  );
}
