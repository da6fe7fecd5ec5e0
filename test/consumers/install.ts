import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));
const run = promisify(execFile);

/** The folders of packages. Each has a lock file of its own. */
export const PACKAGE_SETS = ['tools', 'v2', 'bare', 'next'] as const;
export type PackageSet = (typeof PACKAGE_SETS)[number];

/** Runs `npm ci` in a folder, unless that was done since its lock file was written. */
async function installOnce(path: string): Promise<void> {
  const timeOf = (name: string) => stat(join(path, name)).then(({ mtimeMs }) => mtimeMs);
  // npm writes it when it is done.
  const done = await timeOf('node_modules/.package-lock.json').catch(() => 0);
  if (done > (await timeOf('package-lock.json'))) return;
  await run('npm', ['ci', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: path });
}

/** Installs a set of packages where that has not been done, and puts the package of `tarball` beside them. */
export async function installSet(set: PackageSet, tarball: string): Promise<void> {
  const path = join(folder, set);
  await installOnce(path);
  const own = join(path, 'node_modules/mcp-anynode');
  await rm(own, { recursive: true, force: true });
  await mkdir(own);
  await run('tar', ['xzf', tarball, '--strip-components=1', '-C', own]);
}

/** Makes a project in an empty folder: the programs, and the packages of a set. */
export async function makeProject(path: string, set: PackageSet): Promise<void> {
  await cp(join(folder, 'programs'), path, { recursive: true });
  const from = join(folder, set, 'node_modules');
  const to = join(path, 'node_modules');
  // Node looks for packages around the real path of a file. What a set lacks must not be found in this repository.
  if (set === 'tools') await symlink(from, to);
  else await cp(from, to, { recursive: true, verbatimSymlinks: true });
}

/** The folder of a package of the tools. */
export function toolOf(name: string): string {
  return join(folder, 'tools/node_modules', name);
}

/** Whether `test/nodes` has versions of Node for this machine. */
export const hasNodes = process.platform === 'linux' && !existsSync('/etc/alpine-release');

/** Installs the versions of Node. Returns what gives the binary of one, by the beginning of its version. */
export async function installNodes(): Promise<(version: string) => string> {
  if (!hasNodes) return () => process.execPath;
  const path = join(folder, '../nodes');
  await installOnce(path);
  return (version) => {
    const [major = ''] = version.split('.');
    return join(path, `node_modules/node-${process.platform}-${process.arch}-${major}/bin/node`);
  };
}
