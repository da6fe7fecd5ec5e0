import type { Redis } from 'ioredis';
import { tableOf, type Table } from '../report/table.js';
import { noteAll, underLoad, type Bench, type LoadSample, type Scenario } from '../run/bench.js';
import { inTurn, type Turn } from '../run/rounds.js';
import { spread } from '../run/spread.js';
import { CONTESTANTS, MADE_FOR_EXPRESS, TITLES, WITHOUT_EXPRESS } from '../server/contestants.js';
import type { Contestant, Mount, NodeSettings, Variant } from '../server/contestants.js';
import { loadColumns, plain, ratio } from './columns.js';

const CONCURRENCIES = [1, 16, 64];

/** The contestants in JSON mode. There the SDK stores nothing, with or without a store. */
const IN_JSON_MODE = ['sdk', 'memory', 'redis', ...WITHOUT_EXPRESS] as const;
const IN_SSE_MODE = [...CONTESTANTS, ...MADE_FOR_EXPRESS, ...WITHOUT_EXPRESS];

type Mode = 'sse' | 'json';

/** Measures `tools/call` of an echo tool, in sessions that the node knows. */
export const toolsCall: Scenario = {
  name: 'tools-call',
  run: async (bench) => {
    if (!bench.quick) await warmUp(bench);
    await countScripts(bench);
    const tables: Table[] = [];
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'sse', IN_SSE_MODE, concurrency));
    }
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'json', IN_JSON_MODE, concurrency));
    }
    return tables;
  },
};

/** Makes thousands of calls, so that the code is compiled. A single caller would not make that many in a round. */
async function warmUp({ fleet, load }: Bench): Promise<void> {
  const all = [
    ...IN_SSE_MODE.map((variant) => settingsOf(variant, 'sse')),
    ...IN_JSON_MODE.map((variant) => settingsOf(variant, 'json')),
  ];
  for (const settings of all) {
    const { url } = await fleet.shared(settings);
    const crowd = await load.open(url, 16);
    await crowd.call({ urls: [url], concurrency: 16, forMs: 2_000 });
    await crowd.end();
  }
}

/** Counts how often a plain call makes Redis run a script. Commands within a script are not counted. */
async function countScripts({ fleet, load, redis, note }: Bench): Promise<void> {
  const { url } = await fleet.shared({ contestant: 'redis' });
  const crowd = await load.open(url, 20);
  const before = await scriptsRun(redis);
  const { count } = await crowd.call({ urls: [url], concurrency: 1 });
  note('tools-call.scripts', spread([((await scriptsRun(redis)) - before) / count]));
  await crowd.end();
}

async function scriptsRun(redis: Redis): Promise<number> {
  const counts = (await redis.info('commandstats')).matchAll(
    /^cmdstat_(?:eval|evalsha|fcall):calls=(\d+)/gm,
  );
  return Array.from(counts, ([, calls]) => Number(calls)).reduce((sum, calls) => sum + calls, 0);
}

async function compare(
  bench: Bench,
  mode: Mode,
  variants: readonly Variant[],
  concurrency: number,
): Promise<Table> {
  const forMs = bench.quick ? 50 : 1_200;
  const ends: (() => Promise<void>)[] = [];
  const turns: Turn<LoadSample>[] = [];
  for (const variant of variants) {
    const node = await bench.fleet.shared(settingsOf(variant, mode));
    const crowd = await bench.load.open(node.url, concurrency);
    const call = () => crowd.call({ urls: [node.url], concurrency, forMs });
    turns.push([variant, () => underLoad(bench, [node], call)]);
    ends.push(crowd.end);
  }
  if (concurrency === 1 && mode === 'sse') turns.push(['ping', await pings(bench, forMs)]);
  const measured = await inTurn(bench, turns);
  for (const end of ends) await end();

  const name = `tools-call.${mode}.c${concurrency}`;
  noteAll(bench, name, measured, ['rate', 'p50', 'p99', 'cpu']);
  if (measured.names.includes('ping')) {
    for (const [redis, memory] of [
      ['redis', 'memory'],
      ['redis-made', 'memory-made'],
      ['redis-plain', 'memory-plain'],
    ] as const) {
      const excess = measured.each(
        (value) => value(redis, 'p50') - value(memory, 'p50') - 2 * value('ping', 'p50'),
      );
      bench.note(`${name}.${redis}.excess`, excess);
    }
  }
  return tableOf(
    `tools/call, ${mode.toUpperCase()}, concurrency ${concurrency}`,
    measured,
    [
      ...loadColumns('calls/s'),
      ratio('rate ÷ SDK', 'rate', 'sdk'),
      ratio('CPU ÷ SDK', 'cpu', 'sdk'),
      ...(mode === 'sse' ? [ratio('rate ÷ SDK+Redis', 'rate', 'sdk-redis-store')] : []),
      plain('client busy %', 'client', 0, 100),
    ],
    { ...TITLES, ping: 'one PING of Redis' },
  );
}

/** Returns the settings of a node. By default, all contestants answer with SSE. */
function settingsOf(variant: Variant, mode: Mode): NodeSettings {
  const [contestant = '', mount] = variant.split(/-(?=made$|plain$)/);
  return {
    contestant: contestant as Contestant,
    ...(mode === 'json' && { responseMode: mode }),
    ...(mount !== undefined && { mount: mount as Mount, prefix: mount }),
  };
}

/** Measures a round trip to Redis in the same rounds, from a process that does nothing else. */
async function pings(bench: Bench, forMs: number) {
  const node = await bench.fleet.shared({ contestant: 'redis' });
  return async (): Promise<LoadSample> => {
    const { p50, p99 } = await node.call<{ p50: number; p99: number }>('ping', { forMs });
    const none = Number.NaN;
    return { p50, p99, rate: none, cpu: none, redisCpu: none, client: none };
  };
}
