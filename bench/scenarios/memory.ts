import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProcess } from '../../test/rig/processes.js';
import { show, type Table } from '../report/table.js';
import type { Bench, Scenario } from '../run/bench.js';
import type { Crowd } from '../run/load.js';
import { redisMemory } from '../run/redis-usage.js';
import { inTurn, type Rounds } from '../run/rounds.js';

/** The rows of the table. The bytes of a node are those of the JavaScript heap and of buffers, after garbage collection. */
const ROWS = {
  'sdk.live': 'SDK: session',
  'memory.live': 'anynode, memory: session with its server object',
  'redis.live': 'anynode, Redis: session with its server object',
  'sdk.stream': 'SDK: open GET stream',
  'memory.stream': 'anynode, memory: open GET stream',
  'redis.stream': 'anynode, Redis: open GET stream, on a node without the server object',
  'memory.idle': 'anynode, memory: idle session, its server object discarded',
  'redis.idle': 'anynode, Redis: idle session, its server object discarded',
  'redis.stored': 'in Redis: idle session after the handshake',
  'redis.event': 'in Redis: stored notification',
};

/** After this time, idle server objects are discarded on the nodes that should have none. */
const REPLICA_IDLE_MS = 1_000;
const PREFIX = 'memory';

/** Measures the memory of one session, one stream and one event. */
export const memory: Scenario = {
  name: 'memory',
  run: (bench) =>
    bench.fleet.with(
      [
        { contestant: 'sdk' },
        { contestant: 'memory' },
        { contestant: 'redis', prefix: PREFIX },
        { contestant: 'memory', replicaIdleMs: REPLICA_IDLE_MS },
        { contestant: 'redis', prefix: PREFIX, replicaIdleMs: REPLICA_IDLE_MS },
      ],
      async ([sdk, inMemory, redis, forgetfulInMemory, forgetful]) => {
        const live = bench.quick ? 20 : 300;
        const idle = bench.quick ? 50 : 2_000;
        const measured = await inTurn(bench, [
          ['sdk', () => liveAndStream(bench, live, sdk, sdk)],
          ['memory', () => liveAndStream(bench, live, inMemory, inMemory)],
          ['redis', () => liveAndStream(bench, live, redis, forgetful)],
          ['memory-idle', idleSessions(bench, idle / 2, forgetfulInMemory)],
          ['redis-idle', idleSessions(bench, idle, forgetful)],
          ['redis-event', () => events(bench, idle, redis)],
        ]);
        return [report(bench, measured, bench.rounds * idle)];
      },
    ),
};

function report({ note }: Bench, measured: Rounds, idleInAll: number): Table {
  const values = {
    'sdk.live': measured.of('sdk', 'live'),
    'memory.live': measured.of('memory', 'live'),
    'redis.live': measured.of('redis', 'live'),
    'sdk.stream': measured.of('sdk', 'stream'),
    'memory.stream': measured.of('memory', 'stream'),
    'redis.stream': measured.of('redis', 'stream'),
    'memory.idle': measured.of('memory-idle', 'onNode'),
    'redis.idle': measured.of('redis-idle', 'onNode'),
    'redis.stored': measured.of('redis-idle', 'inRedis'),
    'redis.event': measured.of('redis-event', 'inRedis'),
  };
  for (const [name, value] of Object.entries(values)) note(`memory.${name}`, value);
  note('memory.redis/sdk.live', measured.ratio('redis', 'sdk', 'live'));
  note('memory.memory/sdk.live', measured.ratio('memory', 'sdk', 'live'));
  return {
    title: 'Memory, bytes each',
    columns: ['', 'bytes (lowest–highest round)'],
    rows: Object.entries(ROWS).map(([name, title]) => [
      title,
      show(values[name as keyof typeof values], 0, { withSpread: true }),
    ]),
    note: `Idle sessions on Redis: ${idleInAll.toLocaleString('en')} in all, none of them deleted between rounds.`,
  };
}

/** Opens sessions with their server objects on one node, and then their GET streams on another node or on the same one. */
async function liveAndStream(bench: Bench, count: number, on: NodeProcess, holder: NodeProcess) {
  const before = await bytesOf(on);
  const crowd = await bench.load.open(on.url, count);
  const live = ((await bytesOf(on)) - before) / count;
  const closed = await bytesOf(holder);
  const listeners = await crowd.listen([holder.url]);
  const stream = ((await bytesOf(holder)) - closed) / count;
  await listeners.close();
  await crowd.end();
  return { live, stream };
}

/**
 * Measures idle sessions in batches. The sessions of all batches stay. The memory after a batch is compared with that after
 * the batch before. V8 keeps some memory for a while after each batch, but not more after the next one.
 */
function idleSessions(bench: Bench, count: number, on: NodeProcess) {
  let before: number | undefined;
  return async () => {
    before ??= await bytesOf(on);
    const stored = await redisMemory(bench.redis);
    await bench.load.open(on.url, count);
    await untilNoReplicas(on);
    const after = await bytesOf(on);
    const onNode = (after - before) / count;
    before = after;
    return { onNode, inRedis: ((await redisMemory(bench.redis)) - stored) / count };
  };
}

/** Notifications that wait in the log of a session without a GET stream. */
async function events(bench: Bench, count: number, on: NodeProcess) {
  const crowd: Crowd = await bench.load.open(on.url, 1);
  const [id] = await crowd.ids();
  const before = await redisMemory(bench.redis);
  await on.call('notify', { id, count });
  const inRedis = ((await redisMemory(bench.redis)) - before) / count;
  await crowd.end();
  return { inRedis };
}

function bytesOf(node: NodeProcess): Promise<number> {
  return node.call<number>('memory');
}

async function untilNoReplicas(node: NodeProcess): Promise<void> {
  while ((await node.call<number>('replicas')) > 0) await sleep(100);
}
