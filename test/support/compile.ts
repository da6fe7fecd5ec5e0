import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The programs that tests start. Others are compiled while they are loaded (see `nodeArguments`). */
const PROGRAMS = [
  ...['src/cli/main.ts', 'demo/node.ts'],
  ...['node-process', 'dead-nodes/node', 'task-nodes/node', 'workers/primary'].map(
    (name) => `test/cluster/${name}.ts`,
  ),
  ...['test/chaos/node.ts', 'test/conformance/modern-node.ts', 'test/simulation/main.ts'],
  ...['echo-node', 'parent'].map((name) => `test/unit/fixtures/${name}.ts`),
  ...['client/process', 'server/node', 'interception-node'].map((name) => `bench/${name}.ts`),
];

/**
 * Gives each module the URL of its source, so that it can read the files beside it. The program itself gets the URL of the
 * compiled file, because it may start itself again.
 */
const filesBesideSources: Plugin = {
  name: 'files beside sources',
  setup(given) {
    given.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const isPart = path.startsWith(root) && !path.includes('node_modules');
      if (!isPart || PROGRAMS.some((program) => join(root, program) === path)) return undefined;
      const text = await readFile(path, 'utf8');
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: text.replaceAll('import.meta.url', url), loader: 'ts' };
    });
  },
};

/**
 * Bundles each program that tests start into one file, and tells the tests where the files are. A program of many files
 * takes three times as long to start. Returns a function that removes the files.
 */
export async function compile(): Promise<() => Promise<void>> {
  // A test run that a test has started uses the files of the outer run, and must not remove them.
  if (process.env.COMPILED !== undefined) return () => Promise.resolve();
  // Each test run has a folder of its own, so that several can run side by side.
  const cache = join(root, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'compiled-'));
  await build({
    absWorkingDir: root,
    entryPoints: PROGRAMS,
    outbase: root,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    plugins: [filesBesideSources],
    // The command has to run without these packages, and reports that they are missing.
    external: ['@opentelemetry/*'],
    ...{ bundle: true, platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' },
    // Packages that are CommonJS, such as Express, call `require`.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);",
    },
  });
  process.env.COMPILED = folder;
  return () => rm(folder, { recursive: true, force: true });
}
