import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProcess } from '../../test/rig/processes.js';
import { tableOf, type Table } from '../report/table.js';
import { noteAll, underLoad, type Bench, type Scenario } from '../run/bench.js';
import { inTurn } from '../run/rounds.js';
import type { NodeSettings } from '../server/contestants.js';
import { loadColumns, plain, ratio } from './columns.js';

/** Measures what grows with the number of nodes, and with the number of sessions. */
export const growth: Scenario = {
  name: 'growth',
  run: async (bench) => [await ofNodes(bench), await ofSessions(bench)],
};

/** How long to warm up. Without that, the node that has opened most sessions would have the best compiled code. */
const WARM_UP_MS = 3_000;

/** The number of sessions. It is prime, so that each worker uses all sessions, and each session uses all nodes. */
const WANDERING = 67;

function ofNodes(bench: Bench): Promise<Table> {
  const forMs = bench.quick ? 50 : 800;
  const settings: NodeSettings = { contestant: 'redis', prefix: 'nodes' };
  return bench.fleet.with([settings, settings, settings, settings], async (nodes) => {
    const crowd = await bench.load.open(nodes[0].url, WANDERING);
    if (!bench.quick) {
      const urls = nodes.map(({ url }) => url);
      await crowd.call({ urls, concurrency: 64, forMs: 2 * WARM_UP_MS });
    }
    const turn = (count: number) => () => {
      const used = nodes.slice(0, count);
      const urls = used.map(({ url }) => url);
      return underLoad(bench, used, () => crowd.call({ urls, concurrency: 64, forMs }));
    };
    const measured = await inTurn(bench, [
      ['1', turn(1)],
      ['2', turn(2)],
      ['4', turn(4)],
    ]);
    await crowd.end();
    noteAll(bench, 'growth.nodes', measured, ['rate', 'p50', 'cpu']);
    return tableOf(
      'Growth: the same 64 callers on 1, 2 and 4 nodes, each session on all of them',
      measured,
      [
        ...loadColumns('calls/s'),
        ratio('CPU ÷ 1 node', 'cpu', '1'),
        plain('client busy %', 'client', 0, 100),
      ],
      { '1': '1 node', '2': '2 nodes', '4': '4 nodes' },
    );
  });
}

/** How many sessions are called in each cluster. */
const USED = 64;
const CALLS_PER_SECOND = 300;
/** This is longer than a round, so that replicas of used sessions stay, and those of unused sessions are discarded. */
const REPLICA_IDLE_MS = 15_000;

/** Measures clusters of one node each, on one Redis, with few and with many sessions that no client uses. */
function ofSessions(bench: Bench): Promise<Table> {
  const sizes = bench.quick ? [100, 200, 300] : [1_000, 10_000, 50_000];
  const forMs = bench.quick ? 100 : 3_000;
  const settings = sizes.map((size): NodeSettings => {
    const prefix = `sessions-${size}`;
    // Few replicas, so that memory is not the bottleneck while the sessions are being created.
    const maxReplicas = 10 * USED;
    return { contestant: 'redis', prefix, maxReplicas, replicaIdleMs: REPLICA_IDLE_MS };
  });
  return bench.fleet.with(settings as [NodeSettings, NodeSettings, NodeSettings], async (nodes) => {
    const name = (at: number): string => String(sizes[at]);
    for (const [at, node] of nodes.entries())
      await bench.load.open(node.url, (sizes[at] ?? 0) - USED);
    if (!bench.quick) await Promise.all(nodes.map(untilNoReplicas));
    // Collect the garbage of the handshakes, which must not count as a cost of the calls.
    await Promise.all(nodes.map((node) => node.call('memory')));
    const crowds = await Promise.all(nodes.map((node) => bench.load.open(node.url, USED)));
    if (!bench.quick) {
      for (const [at, { call }] of crowds.entries()) {
        const urls = [nodes[at]?.url ?? ''];
        await call({ urls, concurrency: 16, forMs: WARM_UP_MS });
      }
    }
    const options = { concurrency: 16, rate: CALLS_PER_SECOND, forMs };
    const measured = await inTurn(
      bench,
      crowds.map(({ call }, at) => {
        const node = nodes[at] as NodeProcess;
        return [
          name(at),
          () => underLoad(bench, [node], () => call({ urls: [node.url], ...options })),
        ];
      }),
    );
    noteAll(bench, 'growth.sessions', measured, ['p50', 'cpu', 'redisCpu']);
    bench.note('growth.sessions.cpu', measured.ratio(name(2), name(0), 'cpu'));
    return tableOf(
      `Growth: ${CALLS_PER_SECOND} calls/s on ${USED} sessions, beside others that no client uses`,
      measured,
      [
        ...loadColumns('calls/s'),
        ratio(`CPU ÷ ${name(0)}`, 'cpu', name(0)),
        ratio(`Redis ÷ ${name(0)}`, 'redisCpu', name(0)),
      ],
      Object.fromEntries(sizes.map((size) => [`${size}`, `${size.toLocaleString('en')} sessions`])),
    );
  });
}

async function untilNoReplicas(node: NodeProcess): Promise<void> {
  while ((await node.call<number>('replicas')) > 0) await sleep(250);
}
