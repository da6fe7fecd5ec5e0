import type { NodeProcess } from '../../test/rig/processes.js';
import { tableOf } from '../report/table.js';
import { cpuOf, noteAll, type Bench, type Scenario } from '../run/bench.js';
import { redisUsage } from '../run/redis-usage.js';
import { inTurn, type Turn } from '../run/rounds.js';
import type { Contestant } from '../server/contestants.js';
import { plain, ratio } from './columns.js';

const TITLES = {
  publish: 'Redis PUBLISH → subscriber',
  sdk: 'SDK, its only node',
  'sdk-redis-store': 'SDK, EventStore in Redis, its only node',
  memory: 'anynode, memory, its only node',
  'redis-same': 'anynode, Redis, same node',
  'redis-other': 'anynode, Redis, other node',
};
type Name = keyof typeof TITLES;
type Sample = Record<'p50' | 'p99' | 'rate' | 'cpu' | 'redisCpu', number>;

/** Measures a notification that belongs to no call, from the node that sends it to the client's GET stream. */
export const notification: Scenario = {
  name: 'notification',
  run: async (bench) => {
    const one = (contestant: Contestant) => bench.fleet.shared({ contestant });
    const [sdk, stored, memory] = [
      await one('sdk'),
      await one('sdk-redis-store'),
      await one('memory'),
    ];
    const [a, b] = [await one('redis'), await bench.fleet.shared({ contestant: 'redis' }, 1)];
    const streams: [Name, NodeProcess, NodeProcess][] = [
      ['sdk', sdk, sdk],
      ['sdk-redis-store', stored, stored],
      ['memory', memory, memory],
      ['redis-same', a, a],
      ['redis-other', a, b],
    ];
    const ends: (() => Promise<void>)[] = [];
    const turns: Turn<Sample>[] = [['publish', await publications(bench, a, b)]];
    for (const [name, sender, holder] of streams) {
      const { take, end } = await stream(bench, sender, holder);
      turns.push([name, take]);
      ends.push(end);
    }
    const measured = await inTurn(bench, turns);
    for (const end of ends) await end();

    noteAll(bench, 'notification', measured, ['p50', 'rate', 'cpu']);
    return [
      tableOf(
        'Notification to a GET stream: latency one at a time, rate of a burst',
        measured,
        [
          plain('p50 ms', 'p50', 3),
          plain('p99 ms', 'p99', 3),
          ratio('p50 ÷ PUBLISH', 'p50', 'publish'),
          plain('messages/s', 'rate', 0),
          ratio('rate ÷ SDK', 'rate', 'sdk'),
          plain('CPU µs', 'cpu', 0),
          plain('Redis µs', 'redisCpu', 0),
        ],
        TITLES,
      ),
    ];
  },
};

function pace({ quick }: Bench): { count: number; everyMs: number } {
  return quick ? { count: 10, everyMs: 1 } : { count: 200, everyMs: 2 };
}

async function stream(bench: Bench, sender: NodeProcess, holder: NodeProcess) {
  const burst = bench.quick ? 50 : 2_000;
  const paced = pace(bench);
  const crowd = await bench.load.open(sender.url, 1);
  const [id] = await crowd.ids();
  const listeners = await crowd.listen([holder.url]);
  const nodes = sender === holder ? [sender] : [sender, holder];
  const take = async (): Promise<Sample> => {
    await sender.call('notify', { id, ...paced });
    const { p50, p99 } = await listeners.heard(paced.count);
    const [cpu, before] = [await cpuOf(nodes), await redisUsage(bench.redis)];
    const began = await sender.call<number>('notify', { id, count: burst });
    const { rate } = await listeners.heard(burst, began);
    return {
      ...{ p50, p99, rate },
      cpu: ((await cpuOf(nodes)) - cpu) / burst,
      redisCpu: ((await redisUsage(bench.redis)).cpu - before.cpu) / burst,
    };
  };
  const end = async (): Promise<void> => {
    await listeners.close();
    await crowd.end();
  };
  return { take, end };
}

/** Measures a publication through Redis between the same two processes. No message can be faster than this. */
async function publications(bench: Bench, from: NodeProcess, to: NodeProcess) {
  await to.call('subscribe');
  return async (): Promise<Sample> => {
    await from.call('publish', pace(bench));
    const { p50, p99 } = await to.call<{ p50: number; p99: number }>('received');
    return { p50, p99, rate: Number.NaN, cpu: Number.NaN, redisCpu: Number.NaN };
  };
}
