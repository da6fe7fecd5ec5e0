import type { NodeProcess } from '../../test/rig/processes.js';
import { tableOf } from '../report/table.js';
import { cpuOf, noteAll, type Scenario } from '../run/bench.js';
import { redisUsage } from '../run/redis-usage.js';
import { inTurn, type Turn } from '../run/rounds.js';
import { plain, ratio } from './columns.js';

const TITLES = {
  sdk: 'SDK, one node',
  memory: 'anynode, memory, one node',
  redis: 'anynode, Redis, two nodes',
};
type Name = keyof typeof TITLES;
type Sample = Record<'p50' | 'last' | 'cpu' | 'redisCpu', number>;

/** `notifications/tools/list_changed` to every session, each with an open GET stream. */
export const fanOut: Scenario = {
  name: 'fan-out',
  run: async (bench) => {
    const streams = bench.quick ? 40 : 1_000;
    const ends: (() => Promise<void>)[] = [];
    const turns: Turn<Sample>[] = [];
    for (const name of Object.keys(TITLES) as Name[]) {
      const node = await bench.fleet.shared({ contestant: name });
      const nodes: NodeProcess[] = [node];
      if (name === 'redis') nodes.push(await bench.fleet.shared({ contestant: name }, 1));
      const crowd = await bench.load.open(node.url, streams);
      const listeners = await crowd.listen(nodes.map(({ url }) => url));
      const take = async (): Promise<Sample> => {
        const [cpu, before] = [await cpuOf(nodes), await redisUsage(bench.redis)];
        const since = await node.call<number>('announce');
        const { p50, last } = await listeners.heard(streams, since);
        return {
          ...{ p50, last },
          cpu: ((await cpuOf(nodes)) - cpu) / streams,
          redisCpu: ((await redisUsage(bench.redis)).cpu - before.cpu) / streams,
        };
      };
      turns.push([name, take]);
      ends.push(async () => {
        await listeners.close();
        await crowd.end();
      });
    }
    const measured = await inTurn(bench, turns);
    for (const end of ends) await end();

    noteAll(bench, 'fan-out', measured, ['p50', 'last', 'cpu']);
    return [
      tableOf(
        `Fan-out of one notify to ${streams.toLocaleString('en')} open streams`,
        measured,
        [
          plain('p50 ms', 'p50', 1),
          plain('last ms', 'last', 1),
          plain('CPU µs per stream', 'cpu', 0),
          plain('Redis µs per stream', 'redisCpu', 0),
          ratio('last ÷ SDK', 'last', 'sdk'),
          ratio('CPU ÷ SDK', 'cpu', 'sdk'),
        ],
        TITLES,
      ),
    ];
  },
};
