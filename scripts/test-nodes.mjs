// Runs the tests that need neither Redis nor other processes on the versions of Node that the package supports, but for the one
// that runs this script: `npm test` has run them on that one. Of the tests over HTTP, some are enough to see that Node's HTTP
// server and client, its sockets and its streams do what this library expects of them.
//
//     node scripts/test-nodes.mjs [major version]…
//
// The versions come from npm, into a folder of their own (`test/nodes`), the first time. They are there for Linux with glibc,
// on x64 and arm64. The last line counts the tests on all of them together: `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'test/nodes');
const TESTS = [
  'unit/',
  'contract/',
  'integration/wire-equality',
  'integration/sse',
  'integration/intercept-handler',
];
const platform = `node-${process.platform}-${process.arch}-`;

/** What Node was linked with: glibc, or musl, for which there are no versions on npm. */
const hasGlibc = process.report.getReport().header.glibcVersionRuntime !== undefined;

/** The major versions that there are for this machine. */
function majorsHere() {
  if (!hasGlibc) return [];
  const { optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.keys(optionalDependencies)
    .filter((name) => name.startsWith(platform))
    .map((name) => name.slice(platform.length));
}

const binaryOf = (major) => join(folder, `node_modules/${platform}${major}/bin/node`);

/** Installs what is not there. Returns what is wrong, or `undefined`. */
function install(majors) {
  if (majors.length === 0) {
    const machine = `${process.platform} on ${process.arch}${hasGlibc ? '' : ', without glibc'}`;
    return `The versions of Node in test/nodes run on Linux with glibc only, on x64 and arm64. This machine is ${machine}.`;
  }
  const areThere = () => majors.every((major) => existsSync(binaryOf(major)));
  if (areThere()) return undefined;
  const args = ['ci', '--no-audit', '--no-fund', '--prefer-offline'];
  spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] });
  // They are optional dependencies, whose absence is no error to npm.
  if (areThere()) return undefined;
  return `Node ${majors.join(', ')} could not be installed from the npm registry, which needs a network.
Once \`npm ci\` has run in test/nodes, no network is needed any more.`;
}

/** Runs the tests on one version, and returns how many of them passed and failed. */
function test(major) {
  const began = Date.now();
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [
    vitest,
    'run',
    '--config',
    'vitest.unit.config.ts',
    // `.ci/run` has something else to do meanwhile.
    '--maxWorkers=1',
    ...TESTS.map((path) => `test/${path}`),
  ];
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  const { status, stdout, stderr, error } = spawnSync(binaryOf(major), args, options);
  const [, passed = 0, failed = 1] = /^(\d+) passed, (\d+) failed/m.exec(stdout ?? '') ?? [];
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`Node ${major}: ${passed} passed, ${failed} failed, in ${seconds} s`);
  if (status !== 0) console.log(stdout, stderr, error ?? '');
  // What keeps the tests from running at all counts as a test that failed.
  const least = status === 0 ? 0 : 1;
  return { passed: Number(passed), failed: Math.max(Number(failed), least) };
}

function main(given) {
  const present = process.versions.node.split('.')[0];
  const majors = majorsHere();
  const trouble = install(majors);
  if (trouble !== undefined) console.log(trouble);
  const wanted = given.length > 0 ? given : majors.filter((major) => major !== present);
  const all = trouble === undefined ? wanted.map(test) : [{ passed: 0, failed: 1 }];
  const sum = (name) => all.reduce((total, each) => total + each[name], 0);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
  return sum('failed') === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
