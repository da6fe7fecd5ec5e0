import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian keeps nginx in /usr/sbin, which is not on every user's PATH. */
const systemFolders = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'];

/** The full path of a program, or `undefined` if this machine has none. */
export function findBinary(name: string): string | undefined {
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
