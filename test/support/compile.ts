import { cp, readdir, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'node_modules/.cache/compiled');

/** Compiles what processes of the tests are made of (see `nodeArguments`), and tells those that start processes. */
export async function compile(): Promise<void> {
  // A test run that a test has started uses what is there: others are using it.
  if (process.env.COMPILED === folder) return;
  await rm(folder, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: (await Promise.all(['src', 'demo', 'test'].map(sourcesIn))).flat(),
    outbase: root,
    outdir: folder,
    ...{
      platform: 'node',
      format: 'esm',
      target: 'node20',
      sourcemap: 'linked',
      logLevel: 'warning',
    },
  });
  const scripts = 'src/backplane/redis/scripts';
  await cp(join(root, scripts), join(folder, scripts), { recursive: true });
  // Its version, and that all of this are modules.
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  process.env.COMPILED = folder;
}

/** Below `test` there are also packages that some tests install. */
async function sourcesIn(name: string): Promise<string[]> {
  const paths = await readdir(join(root, name), { recursive: true });
  return paths
    .filter((path) => path.endsWith('.ts') && !path.split(sep).includes('node_modules'))
    .map((path) => join(name, path));
}
