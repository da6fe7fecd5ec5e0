import type { NodeProcess } from '../../test/rig/processes.js';
import { tableOf, type Table } from '../report/table.js';
import { noteAll, underLoad, type Bench, type LoadSample, type Scenario } from '../run/bench.js';
import { inTurn, type Turn } from '../run/rounds.js';
import type { Contestant } from '../server/contestants.js';
import { loadColumns, ratio } from './columns.js';

const TITLES = {
  sdk: 'SDK, its only node',
  memory: 'anynode, memory, its only node',
  'redis-same': 'anynode, Redis, answered on the same node',
  'redis-other': 'anynode, Redis, answered on the other node',
};
type Name = keyof typeof TITLES;

/** A tool asks the client, and returns the client's answer: `tools/call`, `elicitation/create`, the answer, the result. */
export const elicitation: Scenario = {
  name: 'elicitation',
  run: async (bench) => [await compare(bench, 1), await compare(bench, 16)],
};

async function compare(bench: Bench, concurrency: number): Promise<Table> {
  const forMs = bench.quick ? 50 : 600;
  const one = (contestant: Contestant) => bench.fleet.shared({ contestant });
  const [sdk, memory, a] = [await one('sdk'), await one('memory'), await one('redis')];
  const b = await bench.fleet.shared({ contestant: 'redis' }, 1);
  const pairs: [Name, NodeProcess, NodeProcess][] = [
    ['sdk', sdk, sdk],
    ['memory', memory, memory],
    ['redis-same', a, a],
    ['redis-other', a, b],
  ];
  const ends: (() => Promise<void>)[] = [];
  const turns: Turn<LoadSample>[] = [];
  for (const [name, asking, answered] of pairs) {
    const crowd = await bench.load.open(asking.url, concurrency);
    const options = { url: asking.url, answerUrl: answered.url, concurrency, forMs };
    const nodes = asking === answered ? [asking] : [asking, answered];
    turns.push([name, () => underLoad(bench, nodes, () => crowd.elicit(options))]);
    ends.push(crowd.end);
  }
  const measured = await inTurn(bench, turns);
  for (const end of ends) await end();

  noteAll(bench, `elicitation.c${concurrency}`, measured, ['rate', 'p50', 'cpu']);
  return tableOf(
    `Elicitation round trip, concurrency ${concurrency}`,
    measured,
    [
      ...loadColumns('round trips/s'),
      ratio('p50 ÷ SDK', 'p50', 'sdk'),
      ratio('p50 ÷ same node', 'p50', 'redis-same'),
    ],
    TITLES,
  );
}
