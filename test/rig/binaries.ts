import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian keeps nginx in /usr/sbin, which is not on every user's PATH. */
const systemFolders = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'];

/** Folders with a folder for each version of PostgreSQL, whose programs are in `bin` (Debian, Fedora) or beside it (Alpine). */
const postgresFolders = ['/usr/lib/postgresql', '/usr', '/usr/libexec', '/opt/homebrew/opt'];

/** Programs that an environment variable may name, to test with another version than the installed one. */
const CHOSEN: Record<string, string> = { 'redis-server': 'REDIS_SERVER' };

/** The full path of a program, or `undefined` if this machine has none. Throws if the path that was chosen is not a program. */
export function findBinary(name: string): string | undefined {
  const variable = CHOSEN[name];
  const chosen = variable === undefined ? undefined : process.env[variable];
  if (variable !== undefined && chosen !== undefined && chosen !== '') {
    if (isExecutable(chosen)) return chosen;
    throw new Error(`${variable}=${chosen} is not a program that can be run.`);
  }
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...systemFolders];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Does the same as `findBinary`, but throws an error that says how to get the program. */
export function requireBinary(name: string): string {
  const path = findBinary(name);
  if (path !== undefined) return path;
  throw notInstalled(name, name === 'promtool' ? 'prometheus' : name);
}

/** The full path of a program of PostgreSQL. Debian keeps them beside the PATH, for each version. The newest is taken. */
export function requirePostgres(name: 'initdb' | 'postgres'): string {
  const folders = postgresFolders.flatMap((folder) =>
    namesIn(folder)
      .filter((version) => /^(\d+|(pgsql-|postgresql@?)\d+)$/.test(version))
      .sort((a, b) => versionOf(b) - versionOf(a))
      .flatMap((version) => [join(folder, version, 'bin'), join(folder, version)]),
  );
  const path = folders.map((folder) => join(folder, name)).find(isExecutable) ?? findBinary(name);
  if (path === undefined) throw notInstalled(name, 'postgresql');
  return path;
}

function versionOf(folder: string): number {
  return Number(/\d+$/.exec(folder)?.[0]);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function notInstalled(name: string, program: string): Error {
  return new Error(
    `${name} is not installed. \`node scripts/services.mjs ${program}\` installs it.`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
