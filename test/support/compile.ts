import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
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
    entryPoints: ['src', 'demo', 'test'].map((each) => `${each}/**/*.ts`),
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
