/**
 * Measures how long a node stands still for one hostile body. `npx tsx bench/loop-stalls.ts [WORD]` prints the table of
 * `docs/performance.md`, or only the rows that contain the word. The SDK's own transport is measured as well. Each server
 * has its own process, whose event loop a timer watches.
 */
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOSTILE } from './hostile-bodies.js';
import { attack, openSession, send, start } from './hostile-server.js';

/** Sends a batch of 100 calls in JSON mode. Their answers of half a megabyte each come in another order than the calls. */
async function outOfOrder(url: string): Promise<number> {
  const sessionId = await openSession(url, {});
  const calls = Array.from({ length: 100 }, (_, id) => ({
    ...{ jsonrpc: '2.0', id, method: 'tools/call' },
    params: { name: 'rows', arguments: { rows: 20_000, ms: ((id * 37) % 100) * 5 } },
  }));
  const answer = await send(url, JSON.stringify(calls), sessionId);
  await text(answer);
  return answer.statusCode ?? 0;
}

interface Row {
  ms: number;
  status: number;
}

/**
 * Measures one body on a fresh server, because some bodies end the SDK's server. The result is the best of up to three
 * tries, because other processes use the machine, too.
 */
async function measure(
  kind: 'sdk' | 'anynode',
  mode: 'sse' | 'json',
  run: (url: string) => Promise<number>,
): Promise<Row | undefined> {
  const server = await start(kind, { mode });
  let best: Row | undefined;
  try {
    // The first session and the first body compile code, so they are not counted.
    await openSession(server.url, {});
    for (let round = 0; round < 3 && !(best !== undefined && best.ms > 1000); round += 1) {
      await server.report();
      const status = await Promise.race([run(server.url), sleep(60_000, 0)]);
      const ms = await Promise.race([
        server.report().then(({ longest }) => longest),
        sleep(60_000, Infinity),
      ]);
      if (best === undefined || ms < best.ms) best = { status, ms };
    }
    return best;
  } catch {
    return undefined;
  } finally {
    server.stop();
  }
}

const shown = (row: Row | undefined): string =>
  row === undefined ? 'its process ends | ' : `${Math.round(row.ms)} | ${row.status}`;

console.log('| body | SDK, ms | status | anynode, ms | status |\n| --- | --: | --- | --: | --- |');
const all: [string, 'sse' | 'json', (url: string) => Promise<number>][] = [
  ...HOSTILE.map((each): (typeof all)[number] => [each.kind, 'sse', (url) => attack(url, each)]),
  ['100 answers of 0.5 MB to a batch, out of order, as JSON', 'json', outOfOrder],
];
const wanted = all.filter(([kind]) => kind.includes(process.argv[2] ?? ''));
for (const [kind, mode, run] of wanted) {
  const sdk = await measure('sdk', mode, run);
  const ours = await measure('anynode', mode, run);
  console.log(`| ${kind} | ${shown(sdk)} | ${shown(ours)} |`);
}
