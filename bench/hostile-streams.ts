/**
 * Measures how a hostile client with 256 streams affects the calls of others. There are two nodes and a Redis, and 20
 * clients that call at a steady rate. They are measured three times: without the hostile client; while it attacks two other
 * nodes with their own Redis, which only takes processor time from the measured nodes; and while it attacks the measured
 * nodes. `npx tsx bench/hostile-streams.ts [CHECKOUT...]` prints a table. The checkouts are measured in turn, so that other
 * load of the machine affects all of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startNode, type NodeProcess } from '../test/rig/processes.js';
import { startRedis } from '../test/rig/redis.js';
import { Connection } from './client/connection.js';
import { quantiles, type Quantiles } from './client/latencies.js';
import { callEcho, openSession, type Session } from './client/mcp.js';

const CLIENTS = 20;
const EVERY_MS = 100;
const MEASURED_MS = Number(process.env.MEASURED_MS ?? 5_000);
/** How often the hostile client opens each of its streams again. */
const HOSTILE_EVERY_MS = Number(process.env.HOSTILE_EVERY_MS ?? 1_000);
const ROUNDS = Number(process.env.ROUNDS ?? 3);

const KINDS: Record<string, number> = {
  'resumes an ended stream': 1,
  'resumes its GET stream from the start': 1,
  // This is 25 MB/s, of answers of 1 MB and messages of 4 MB. More would measure how fast the machine copies bytes.
  'calls, and reads no answer': 10,
  'sends messages of 4 MB': 40,
};

interface Measured extends Quantiles {
  /** How many calls were answered with an error. The time until the error counts as their latency. */
  failed: number;
}

interface Client {
  session: Session;
  /** The connections, one to each node. */
  connections: Connection[];
}

async function openClient(nodes: NodeProcess[]): Promise<Client> {
  const connections = await Promise.all(nodes.map(({ url }) => Connection.open(url)));
  return { connections, session: await openSession(connections[0] as Connection) };
}

/** Measures the latencies of the calls of all clients, each from the time at which the call was due. */
async function measure(clients: Client[]): Promise<Measured> {
  const latencies: number[] = [];
  let failed = 0;
  await Promise.all(
    clients.map(async ({ connections, session }, at) => {
      const begun = performance.now() + 200 + (at * EVERY_MS) / CLIENTS;
      for (let call = 0; call * EVERY_MS < MEASURED_MS; call += 1) {
        const due = begun + call * EVERY_MS;
        await sleep(Math.max(0, due - performance.now()));
        const connection = connections[call % connections.length] as Connection;
        await callEcho(connection, session).catch(() => (failed += 1));
        latencies.push(performance.now() - due);
      }
    }),
  );
  return { ...quantiles(latencies), failed };
}

interface Cluster {
  nodes: NodeProcess[];
  clients: Client[];
  hostile: NodeProcess;
  stop: () => Promise<void>;
}

async function start(source: string): Promise<Cluster> {
  const redis = await startRedis();
  const script = new URL('hostile-node.ts', import.meta.url);
  const node = () => startNode({ script, env: { SOURCE: source, REDIS_URL: redis.url } });
  const nodes = await Promise.all([node(), node()]);
  const hostile = await startNode({ script: new URL('hostile-client.ts', import.meta.url) });
  const stop = async () => {
    await Promise.all([...nodes, hostile].map((each) => each.stop()));
    await redis.stop();
  };
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => openClient(nodes)));
  return { nodes, clients, hostile, stop };
}

const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const given = process.argv.slice(2);
const sources = given.length > 0 ? given : ['.'];
const clusters = await Promise.all(sources.map(start));
const others = await Promise.all(sources.map(start));
for (const { clients } of clusters) await measure(clients);
console.log(
  '| | checkout | alone | hostile elsewhere | hostile here | here / elsewhere | failed |',
);
console.log('| --- | --- | --: | --: | --: | --: | --: |');
console.log('| | | p50 / p99, ms | p50 / p99 | p50 / p99 | p99 | |');

/** Measures the clients of a cluster while the hostile client attacks these nodes. */
async function measureBeside(
  { clients, hostile }: Cluster,
  attacked: NodeProcess[],
  attack: { kind: string; everyMs: number },
): Promise<Measured> {
  await hostile.call('begin', { ...attack, urls: attacked.map(({ url }) => url) });
  await sleep(1_000);
  const measured = await measure(clients);
  await hostile.call('end');
  await sleep(500);
  return measured;
}

const shown = (of: Measured[]): string =>
  [median(of.map(({ p50 }) => p50)), median(of.map(({ p99 }) => p99))]
    .map((each) => each.toFixed(1))
    .join(' / ');

for (const [kind, slower] of Object.entries(KINDS)) {
  if (process.env.ONLY !== undefined && !kind.includes(process.env.ONLY)) continue;
  const attack = { kind, everyMs: HOSTILE_EVERY_MS * slower };
  const results = clusters.map(() => ({
    alone: [] as Measured[],
    elsewhere: [] as Measured[],
    here: [] as Measured[],
  }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [at, cluster] of clusters.entries()) {
      const result = results[at];
      const other = others[at];
      if (result === undefined || other === undefined) continue;
      result.alone.push(await measure(cluster.clients));
      result.elsewhere.push(await measureBeside(cluster, other.nodes, attack));
      result.here.push(await measureBeside(cluster, cluster.nodes, attack));
    }
  }
  for (const [at, { alone, elsewhere, here }] of results.entries()) {
    const ratios = here.map(({ p99 }, round) => p99 / (elsewhere[round]?.p99 ?? Number.NaN));
    const failed = here.reduce((sum, each) => sum + each.failed, 0);
    const figures = [shown(alone), shown(elsewhere), shown(here), median(ratios).toFixed(1)];
    console.log(`| ${[kind, sources[at], ...figures, failed].join(' | ')} |`);
  }
}
await Promise.all([...clusters, ...others].map(({ stop }) => stop()));
process.exit(0);
