import type { Spread } from '../run/spread.js';
import {
  CONTESTANTS,
  MADE_FOR_EXPRESS,
  READ_ONLY,
  TITLES,
  WITHOUT_EXPRESS,
  type Variant,
} from '../server/contestants.js';
import type { Panel } from './chart.js';

const COLOURS: Record<Variant, string> = {
  sdk: '#9aa5b1',
  'sdk-memory-store': '#9aa5b1',
  'sdk-redis-store': '#9aa5b1',
  memory: '#3f83c8',
  redis: '#d1553f',
  'sdk-made': '#9aa5b1',
  'memory-made': '#3f83c8',
  'redis-made': '#d1553f',
  'sdk-plain': '#9aa5b1',
  'memory-plain': '#3f83c8',
  'redis-plain': '#d1553f',
  'memory-read': '#3f83c8',
  'redis-read': '#d1553f',
};

const SHORT: Record<Variant, string> = {
  ...TITLES,
  'sdk-memory-store': 'SDK, store in memory',
  'sdk-redis-store': 'SDK, store in Redis',
  'memory-made': 'memory, serverOptionsFor',
  'redis-made': 'Redis, serverOptionsFor',
  'memory-plain': 'memory, no Express',
  'redis-plain': 'Redis, no Express',
  'memory-read': 'memory, read-only tool',
  'redis-read': 'Redis, read-only tool',
};

/** Returns the panels for a run. Panels of quantities that were not measured are left out. */
export function panelsOf(figures: ReadonlyMap<string, Spread>): Panel[] {
  const one = (label: string, figure: string, colour: string) => {
    const value = figures.get(figure);
    return value === undefined ? [] : [{ label, value, colour }];
  };
  const all = (figure: (contestant: Variant) => string) =>
    [...CONTESTANTS, ...READ_ONLY, ...MADE_FOR_EXPRESS, ...WITHOUT_EXPRESS].flatMap((contestant) =>
      one(SHORT[contestant], figure(contestant), COLOURS[contestant]),
    );
  const { sdk, memory, redis } = COLOURS;
  const c16 = 'tools-call.sse.c16';
  const panels: Panel[] = [
    {
      title: 'tools/call, SSE, 16 callers: rate',
      unit: 'times the SDK’s, higher is better',
      mark: 1,
      bars: all((contestant) => `${c16}.${contestant}/sdk.rate`),
    },
    {
      title: 'tools/call, SSE, 16 callers: CPU of the server',
      unit: 'µs per call, lower is better',
      bars: all((contestant) => `${c16}.${contestant}.cpu`),
    },
    {
      title: 'tools/call, SSE, one caller: p50',
      unit: 'ms, lower is better',
      bars: all((contestant) => `tools-call.sse.c1.${contestant}.p50`),
    },
    {
      title: 'Handshake, 16 callers: rate',
      unit: 'times the SDK’s, higher is better',
      mark: 1,
      bars: all((contestant) => `handshake.${contestant}/sdk.rate`),
    },
    {
      title: 'Resume after 10,000 missed events',
      unit: 'ms, lower is better',
      bars: all((contestant) => `resume.10000.${contestant}.p50`),
    },
    {
      title: 'Notification to a GET stream: p50',
      unit: 'ms, lower is better',
      bars: [
        ...one('PUBLISH → subscriber', 'notification.publish.p50', '#c7ccd1'),
        ...one('SDK', 'notification.sdk.p50', sdk),
        ...one('anynode, memory', 'notification.memory.p50', memory),
        ...one('anynode, same node', 'notification.redis-same.p50', redis),
        ...one('anynode, other node', 'notification.redis-other.p50', redis),
      ],
    },
    {
      title: 'Memory of a session with its server object',
      unit: 'bytes, lower is better',
      bars: [
        ...one('SDK', 'memory.sdk.live', sdk),
        ...one('anynode, memory', 'memory.memory.live', memory),
        ...one('anynode, Redis', 'memory.redis.live', redis),
        ...one('… when it is idle', 'memory.redis.idle', redis),
      ],
    },
    {
      title: 'CPU of a node beside sessions that no client uses',
      unit: 'µs per call at 300 calls/s, lower is better',
      bars: [1_000, 10_000, 50_000].flatMap((size) =>
        one(`${size.toLocaleString('en')} sessions`, `growth.sessions.${size}.cpu`, redis),
      ),
    },
  ];
  return panels.filter(({ bars }) => bars.length > 0);
}
