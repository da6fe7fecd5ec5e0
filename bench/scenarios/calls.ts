import type { NodeProcess } from '../../test/rig/processes.js';
import type { CallOptions } from '../client/crowd.js';
import { underLoad, type Bench, type LoadSample } from '../run/bench.js';
import { inTurn, type Rounds, type Turn } from '../run/rounds.js';
import { settingsOf, toolOf, type NodeSettings, type Variant } from '../server/contestants.js';

export interface Calls extends Omit<CallOptions, 'urls' | 'tool'> {
  responseMode?: 'sse' | 'json';
  /** How many sessions make the calls. Left out: one for each caller. */
  sessions?: number;
  /** Further settings of the nodes. */
  settings?: Partial<NodeSettings>;
}

/** Lets the contestants make calls in turn, each on sessions of its own. `others` take their turns after them. */
export async function callInTurn(
  bench: Bench,
  variants: readonly Variant[],
  { responseMode, sessions, settings, ...calls }: Calls,
  others: readonly Turn<LoadSample>[] = [],
): Promise<Rounds> {
  const ends: (() => Promise<void>)[] = [];
  const turns: Turn<LoadSample>[] = [];
  for (const variant of variants) {
    const node = await bench.fleet.shared({ ...settingsOf(variant, responseMode), ...settings });
    await warmUp(bench, node, variant);
    const crowd = await bench.load.open(node.url, sessions ?? calls.concurrency);
    const options = { urls: [node.url], tool: toolOf(variant), ...calls };
    turns.push([variant, () => underLoad(bench, [node], () => crowd.call(options))]);
    ends.push(crowd.end);
  }
  const measured = await inTurn(bench, [...turns, ...others]);
  for (const end of ends) await end();
  return measured;
}

const warm = new Set<string>();

/** Makes thousands of calls once, so that the code is compiled. A single caller would not make that many in a round. */
async function warmUp({ load, quick }: Bench, { url }: NodeProcess, variant: Variant) {
  const [key, tool] = [`${url} ${toolOf(variant)}`, toolOf(variant)];
  if (quick || warm.has(key)) return;
  warm.add(key);
  const crowd = await load.open(url, 16);
  await crowd.call({ urls: [url], concurrency: 16, forMs: 2_000, tool });
  await crowd.end();
}

/** Measures a round trip to Redis in the same rounds, from a process of such a node that does nothing else. */
export async function pings(
  { fleet }: Bench,
  forMs: number,
  settings: Partial<NodeSettings> = {},
): Promise<Turn<LoadSample>> {
  const node = await fleet.shared({ contestant: 'redis', ...settings });
  const take = async (): Promise<LoadSample> => {
    const { p50, p99 } = await node.call<{ p50: number; p99: number }>('ping', { forMs });
    const none = Number.NaN;
    return { p50, p99, rate: none, cpu: none, redisCpu: none, scriptMicros: none, client: none };
  };
  return ['ping', take];
}
