/** Builds the page of the monitor once for the test files that need it. */
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = join(root, 'src/monitor/page');

/** Makes sure that the built page is not older than its sources. */
export function buildPage(): void {
  const sources = [page, join(root, 'src/timeline')].flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('built'))
      .map(({ name, parentPath }) => statSync(join(parentPath, name))),
  );
  const newest = Math.max(...sources.map(({ mtimeMs }) => mtimeMs));
  const built = statSync(join(page, 'built/page.js'), { throwIfNoEntry: false });
  if (built !== undefined && built.mtimeMs > newest) return;
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  const args = [vite, 'build', '-c', join(page, 'vite.config.js')];
  execFileSync(process.execPath, args, { cwd: root, stdio: 'pipe' });
}

/** Builds the page for commands, which run from the folder `COMPILED` (see `nodeArguments`). */
export function buildPageForCommands(): void {
  buildPage();
  const { COMPILED: folder } = process.env;
  const built = join(page, 'built');
  if (folder !== undefined) cpSync(built, join(folder, relative(root, built)), { recursive: true });
}
