import { tableOf, type Table } from '../report/table.js';
import { noteAll, underLoad, type Bench, type LoadSample, type Scenario } from '../run/bench.js';
import { inTurn, type Turn } from '../run/rounds.js';
import { plain, ratio } from './columns.js';

/** The bare SDK resumes nothing. */
const TITLES = {
  'sdk-memory-store': 'SDK, EventStore in memory',
  'sdk-redis-store': 'SDK, EventStore in Redis',
  memory: 'anynode, memory',
  redis: 'anynode, Redis, on the other node',
};
type Name = keyof typeof TITLES;

/** Measures a GET with `Last-Event-ID`, until all missed messages are read. */
export const resume: Scenario = {
  name: 'resume',
  run: async (bench) => {
    const sizes = bench.quick ? [10, 100] : [10, 1_000, 10_000];
    const tables: Table[] = [];
    for (const events of sizes) {
      const { measured, table } = await compare(bench, events);
      tables.push(table);
      // The last size is the largest one.
      const ratio = measured.ratio('redis', 'sdk-redis-store', 'p50');
      bench.note('resume.most.redis/sdk-redis-store.p50', ratio);
    }
    return tables;
  },
};

async function compare(bench: Bench, events: number) {
  const times = bench.quick ? 1 : Math.max(1, Math.min(50, 2_000 / events));
  const ends: (() => Promise<void>)[] = [];
  const turns: Turn<LoadSample>[] = [];
  for (const name of Object.keys(TITLES) as Name[]) {
    const node = await bench.fleet.shared({ contestant: name });
    const other = name === 'redis' ? await bench.fleet.shared({ contestant: name }, 1) : node;
    const crowd = await bench.load.open(node.url, 1);
    const [id] = await crowd.ids();
    // The client sees one message, whose id is the cursor. It misses the others.
    const listeners = await crowd.listen([node.url]);
    await node.call('notify', { id, count: 1 });
    await listeners.heard(1);
    const lastEventId = await listeners.cursor();
    await listeners.close();
    await node.call('notify', { id, count: events });
    const options = { url: other.url, lastEventId, events, times };
    turns.push([name, () => underLoad(bench, [other], () => crowd.resume(options))]);
    ends.push(crowd.end);
  }
  const measured = await inTurn(bench, turns);
  for (const end of ends) await end();

  noteAll(bench, `resume.${events}`, measured, ['p50', 'cpu']);
  const table = tableOf(
    `Resume after ${events.toLocaleString('en')} missed events`,
    measured,
    [
      plain('ms', 'p50', 2),
      plain('CPU µs per event', 'cpu', 1, 1 / events),
      plain('Redis µs per event', 'redisCpu', 1, 1 / events),
      ratio('time ÷ SDK+Redis', 'p50', 'sdk-redis-store'),
    ],
    TITLES,
  );
  return { measured, table };
}
