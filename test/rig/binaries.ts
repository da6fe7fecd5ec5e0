import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian keeps nginx in /usr/sbin, which is not on every user's PATH. */
const systemFolders = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'];

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
  const program = name === 'promtool' ? 'prometheus' : name;
  throw new Error(
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
