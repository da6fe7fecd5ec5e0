// Runs the tests that depend on Redis most, with the server that REDIS_SERVER names:
//
//     REDIS_SERVER=/path/to/redis-server npm run test:redis
//
// These are the contract of the backplane, failovers, restarts, sentinels, moves of slots, limits, and the whole story of a session.
// Without REDIS_SERVER it takes the installed redis-server. More arguments go to vitest.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const files = [
  'test/contract',
  ...['failover', 'restart', 'sentinel', 'limits', 'trouble'].map(
    (name) => `test/cluster/redis-${name}.test.ts`,
  ),
  ...['encrypted', 'lessons-redis', 'notifications', 'slot-moves', 'story'].map(
    (name) => `test/cluster/${name}.test.ts`,
  ),
];
const root = fileURLToPath(new URL('../', import.meta.url));
const server = process.env.REDIS_SERVER ?? 'redis-server';
const run = (program, args) =>
  spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status ?? 1;

const services = process.env.REDIS_SERVER ? ['nginx'] : ['redis-server', 'nginx'];
const version = spawnSync(server, ['--version'], { encoding: 'utf8' });
process.exitCode = run(process.execPath, ['scripts/services.mjs', ...services]);
if (process.exitCode === 0) {
  console.log(version.stdout?.trim() || `${server} does not say its version`);
  process.exitCode = run('npx', ['vitest', 'run', ...files, ...process.argv.slice(2)]);
}
