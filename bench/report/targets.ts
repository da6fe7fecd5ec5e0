import type { Spread } from '../run/spread.js';
import { show, type Table } from './table.js';

export interface Target {
  title: string;
  figure: string;
  is: 'at least' | 'at most';
  bound: number;
  digits: number;
  unit?: string;
}

/** The targets of the project. A table shows which are met. A missed target does not fail the run. */
export const TARGETS: readonly Target[] = [
  ratio(
    'read-only tool, SSE c16, Redis: rate ÷ SDK',
    'tools-call.sse.c16.redis-read/sdk.rate',
    2.5,
  ),
  atMost(
    'read-only tool, SSE c16, Redis: CPU ÷ SDK',
    'tools-call.sse.c16.redis-read/sdk.cpu',
    0.38,
  ),
  ratio('tools/call SSE c16, Redis: rate ÷ SDK', 'tools-call.sse.c16.redis/sdk.rate', 1.9),
  atMost('tools/call SSE c16, Redis: CPU ÷ SDK', 'tools-call.sse.c16.redis/sdk.cpu', 0.48),
  ratio('tools/call SSE c16, memory: rate ÷ SDK', 'tools-call.sse.c16.memory/sdk.rate', 4.5),
  ratio(
    'tools/call SSE c16, Redis: rate ÷ SDK with EventStore in Redis',
    'tools-call.sse.c16.redis/sdk-redis-store.rate',
    1.6,
  ),
  ratio(
    'serverOptionsFor, c16, memory: rate ÷ SDK (as usual)',
    'tools-call.sse.c16.memory-made/sdk.rate',
    2.5,
  ),
  ratio(
    'serverOptionsFor, c16, Redis: rate ÷ SDK (as usual)',
    'tools-call.sse.c16.redis-made/sdk.rate',
    1.5,
  ),
  atMost(
    'serverOptionsFor, c16, Redis: CPU ÷ SDK (as usual)',
    'tools-call.sse.c16.redis-made/sdk.cpu',
    0.67,
  ),
  ratio(
    'without Express, c16, memory: rate ÷ SDK (on Express)',
    'tools-call.sse.c16.memory-plain/sdk.rate',
    2.5,
  ),
  ratio(
    'without Express, c16, Redis: rate ÷ SDK (on Express)',
    'tools-call.sse.c16.redis-plain/sdk.rate',
    1.5,
  ),
  atMost(
    'without Express, c16, Redis: CPU ÷ SDK (on Express)',
    'tools-call.sse.c16.redis-plain/sdk.cpu',
    0.67,
  ),
  atMost(
    'tools/call SSE c1, Redis: p50 ÷ SDK with EventStore in memory',
    'tools-call.sse.c1.redis/sdk-memory-store.p50',
    0.4,
  ),
  milliseconds(
    'read-only tool, SSE c1: p50 Redis − memory − one PING',
    'tools-call.sse.c1.redis-read.excess',
    0.06,
  ),
  milliseconds(
    'tools/call SSE c1: p50 Redis − memory − 2 PINGs',
    'tools-call.sse.c1.redis.excess',
    0.06,
  ),
  milliseconds('read-only tool, 1 ms to Redis, c1: p50', 'network.1.redis-read.p50', 1.5),
  milliseconds('tools/call, 1 ms to Redis, c1: p50', 'network.1.redis.p50', 2.6),
  milliseconds(
    'serverOptionsFor, c1: p50 Redis − memory − 2 PINGs',
    'tools-call.sse.c1.redis-made.excess',
    0.1,
  ),
  milliseconds(
    'without Express, c1: p50 Redis − memory − 2 PINGs',
    'tools-call.sse.c1.redis-plain.excess',
    0.1,
  ),
  micros(
    'read-only tool, SSE c16: scripts in Redis',
    'tools-call.sse.c16.redis-read.scriptMicros',
    25,
  ),
  micros('tools/call SSE c16: scripts in Redis', 'tools-call.sse.c16.redis.scriptMicros', 45),
  atMost('read-only tool: scripts in Redis per call', 'counts.read-only.scripts', 1),
  atMost('tools/call: scripts in Redis per call', 'counts.others.scripts', 2),
  atMost('telemetry without an SDK: CPU ÷ without telemetry', 'telemetry.api/off.cpu', 1.02),
  atMost(
    'telemetry, 10 % recorded: CPU ÷ the same with HTTP spans only',
    'telemetry.sampled/http.cpu',
    1.1,
  ),
  ratio('audit, archived elsewhere: rate ÷ without audit', 'audit.outbox/off.rate', 0.95),
  ratio('audit, archived by this node: rate ÷ without audit', 'audit.directory/off.rate', 0.95),
  ratio('handshake, memory: rate ÷ SDK', 'handshake.memory/sdk.rate', 1),
  ratio('handshake, Redis: rate ÷ SDK', 'handshake.redis/sdk.rate', 1.4),
  atMost(
    'notification from another node: p50 ÷ PUBLISH → subscriber',
    'notification.redis-other/publish.p50',
    3,
  ),
  atMost(
    'elicitation: p50 answered on the other node ÷ on the same',
    'elicitation.c1.redis-other/redis-same.p50',
    1.5,
  ),
  atMost(
    'resume of most events on another node: time ÷ SDK with EventStore in Redis',
    'resume.most.redis/sdk-redis-store.p50',
    0.9,
  ),
  atMost('fan-out on two nodes: the last stream ÷ SDK', 'fan-out.redis/sdk.last', 0.9),
  atMost('first call on another node: p50 ÷ the next one', 'rehydration.first/next.p50', 2),
  atMost('server object in memory: Redis ÷ SDK', 'memory.redis/sdk.live', 1),
  // This is noise: a page of the heap more or less, over ten thousand sessions.
  bytes('idle session on a node with Redis', 'memory.redis.idle', 100),
  bytes('idle session in Redis', 'memory.redis.stored', 2048),
  atMost('soak: heap of a node, after ÷ before', 'soak.node', 1.1),
  atMost('soak: memory of Redis, after ÷ before', 'soak.redis', 1.1),
  atMost('CPU per call beside 50,000 sessions ÷ beside 1,000', 'growth.sessions.cpu', 1.1),
];

function ratio(title: string, figure: string, bound: number): Target {
  return { title, figure, is: 'at least', bound, digits: 2 };
}

function atMost(title: string, figure: string, bound: number): Target {
  return { title, figure, is: 'at most', bound, digits: 2 };
}

function milliseconds(title: string, figure: string, bound: number): Target {
  return { title, figure, is: 'at most', bound, digits: 3, unit: 'ms' };
}

function micros(title: string, figure: string, bound: number): Target {
  return { title, figure, is: 'at most', bound, digits: 0, unit: 'µs' };
}

function bytes(title: string, figure: string, bound: number): Target {
  return { title, figure, is: 'at most', bound, digits: 0, unit: 'bytes' };
}

/** Returns the table of the targets that were measured. */
export function targetTable(figures: ReadonlyMap<string, Spread>): Table {
  const rows = TARGETS.flatMap(({ title, figure, is, bound, digits, unit }) => {
    const value = figures.get(figure);
    if (value === undefined) return [];
    const met = is === 'at least' ? value.median >= bound : value.median <= bound;
    const what = unit === undefined ? '' : ` ${unit}`;
    return [
      [
        title,
        `${is} ${bound}${what}`,
        show(value, digits, { withSpread: true }),
        met ? 'yes' : 'no',
      ],
    ];
  });
  return { title: 'Targets', columns: ['', 'target', 'median (lowest–highest)', 'met'], rows };
}
