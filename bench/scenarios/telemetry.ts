import { tableOf } from '../report/table.js';
import { noteAll, underLoad, type LoadSample, type Scenario } from '../run/bench.js';
import { inTurn, type Turn } from '../run/rounds.js';
import type { NodeSettings } from '../server/contestants.js';
import { loadColumns, ratio } from './columns.js';

const CONCURRENCY = 16;

const VARIANTS: Record<string, Pick<NodeSettings, 'telemetry'>> = {
  off: {},
  api: { telemetry: 'api' },
  http: { telemetry: 'http' },
  sampled: { telemetry: 'sampled' },
};

const TITLES = {
  off: 'without telemetry',
  api: 'telemetry, no SDK registered',
  http: 'without telemetry, HTTP spans of an SDK, 10 % recorded',
  sampled: 'telemetry and HTTP spans, 10 % recorded',
};

/** Measures the cost of the option `telemetry` for a plain call. */
export const telemetry: Scenario = {
  name: 'telemetry',
  run: async (bench) => {
    const forMs = bench.quick ? 50 : 1_200;
    const turns: Turn<LoadSample>[] = [];
    const ends: (() => Promise<void>)[] = [];
    for (const [name, setting] of Object.entries(VARIANTS)) {
      const node = await bench.fleet.shared({ contestant: 'redis', ...setting });
      const crowd = await bench.load.open(node.url, CONCURRENCY);
      const call = () => crowd.call({ urls: [node.url], concurrency: CONCURRENCY, forMs });
      turns.push([name, () => underLoad(bench, [node], call)]);
      ends.push(crowd.end);
    }
    // Run each contestant once first, so that its code is compiled.
    if (!bench.quick) for (const [, take] of turns) await take();
    const measured = await inTurn(bench, turns);
    for (const end of ends) await end();
    noteAll(bench, 'telemetry', measured, ['rate', 'cpu']);
    const columns = [
      ...loadColumns('calls/s'),
      ratio('CPU ÷ without', 'cpu', 'off'),
      ratio('CPU ÷ HTTP spans', 'cpu', 'http'),
    ];
    return [
      tableOf(
        `Telemetry: tools/call on Redis, concurrency ${CONCURRENCY}`,
        measured,
        columns,
        TITLES,
      ),
    ];
  },
};
