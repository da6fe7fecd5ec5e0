import { tableOf } from '../report/table.js';
import { noteAll, underLoad, type LoadSample, type Scenario } from '../run/bench.js';
import { inTurn, type Turn } from '../run/rounds.js';
import type { NodeSettings } from '../server/contestants.js';
import { loadColumns, ratio } from './columns.js';

const CONCURRENCY = 16;

/** Each variant has a prefix of its own, since the outbox belongs to all nodes of a prefix. */
const VARIANTS: Record<string, Pick<NodeSettings, 'audit' | 'prefix'>> = {
  off: { prefix: 'audit-off' },
  outbox: { prefix: 'audit-outbox', audit: 'outbox' },
  directory: { prefix: 'audit-directory', audit: 'directory' },
};

const TITLES = {
  off: 'without audit',
  outbox: 'audit, archived by another process later',
  directory: 'audit, archived by this node as JSON Lines',
};

/** Measures the cost of the option `audit` for a plain call. */
export const audit: Scenario = {
  name: 'audit',
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
    noteAll(bench, 'audit', measured, ['rate', 'cpu', 'redisCpu']);
    const columns = [
      ...loadColumns('calls/s'),
      ratio('rate ÷ without', 'rate', 'off'),
      ratio('CPU ÷ without', 'cpu', 'off'),
    ];
    return [
      tableOf(`Audit: tools/call on Redis, concurrency ${CONCURRENCY}`, measured, columns, TITLES),
    ];
  },
};
