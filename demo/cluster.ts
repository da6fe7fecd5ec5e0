import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { startNginx } from '../test/rig/nginx.js';
import { startNode } from '../test/rig/processes.js';
import { startRedis } from '../test/rig/redis.js';
import { runStory } from './story.js';
import { tally } from './story/tally.js';

/**
 * Plays the story on a real cluster: redis-server, nginx as plain round robin, two node processes.
 *
 * @example
 *     npm run demo:cluster                  the story
 *     npm run demo:cluster -- --runs 100    many times in a row, with a tally
 *     npm run demo:cluster -- --bare        against the plain SDK transport, to see what breaks
 *     npm run demo:cluster -- --serve       the cluster stays up, for clients of your own; --port is nginx's
 */
const { values: flags } = parseArgs({
  options: {
    serve: { type: 'boolean', default: false },
    bare: { type: 'boolean', default: false },
    runs: { type: 'string', default: '1' },
    port: { type: 'string' },
  },
});
const runs = Number(flags.runs);
if (!Number.isInteger(runs) || runs < 1)
  throw new Error(`--runs takes a number, not ${flags.runs}`);

const script = new URL('./node.ts', import.meta.url);
const open: { stop: () => Promise<unknown> }[] = [];

async function started<T extends { stop: () => Promise<unknown> }>(
  starting: Promise<T>,
): Promise<T> {
  const service = await starting;
  open.push(service);
  return service;
}

async function main(): Promise<boolean> {
  const redis = flags.bare ? undefined : await started(startRedis());
  const env = { ...(redis && { REDIS_URL: redis.url }), ...(flags.bare && { BARE: '1' }) };
  const one = await started(startNode({ script, env: { ...env, NODE_NAME: 'one' } }));
  const two = await started(startNode({ script, env: { ...env, NODE_NAME: 'two' } }));
  const nginx = await started(
    startNginx({
      upstreams: [one.port, two.port],
      ...(flags.port !== undefined && { port: Number(flags.port) }),
    }),
  );
  const url = `${nginx.url}/mcp`;
  const nodeUrls = [`${one.url}/mcp`, `${two.url}/mcp`];

  console.log(flags.bare ? 'The plain SDK transport on two nodes:\n' : 'Two nodes:\n');
  console.log(`  A      ${nodeUrls[0] ?? ''}  (process ${one.pid})`);
  console.log(`  B      ${nodeUrls[1] ?? ''}  (process ${two.pid})`);
  console.log(`  nginx  ${url}  (the one URL that clients know)`);
  if (redis) console.log(`  redis  ${redis.url}`);
  console.log();

  if (flags.serve) {
    console.log('Ctrl-C ends it.');
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    return true;
  }
  const story = { url, nodeUrls, ...(flags.bare && { keepGoing: true, patienceMs: 2_000 }) };
  if (runs > 1) return tally(runs, () => runStory(story), console.log);

  const { ok, steps } = await runStory({ ...story, print: console.log });
  const broken = steps.filter((step) => !step.ok).length;
  if (ok) console.log(`\nAll ${steps.length} steps hold.`);
  else if (flags.bare)
    console.log(
      `\n${broken} of ${steps.length} steps break: each process knows only its own sessions.`,
    );
  else console.log('\nThe story broke off at the step marked ✘.');
  return ok;
}

try {
  const ok = await main();
  // The plain transport is meant to break.
  process.exitCode = ok || flags.bare ? 0 : 1;
} finally {
  for (const service of open.reverse()) await service.stop();
}
