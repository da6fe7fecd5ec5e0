import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/**
 * The arguments with which `node` runs a TypeScript file: compiled while it is loaded, by tsx. That takes most of the time
 * in which a process starts, so a test run compiles all files once, to the folder that it names in `COMPILED`.
 */
export function nodeArguments(path: string): string[] {
  const { COMPILED: folder } = process.env;
  if (folder !== undefined) {
    const root = resolve(folder, '../../..');
    const inFolder = path.startsWith(folder) ? path : join(folder, relative(root, path));
    const compiled = inFolder.replace(/\.ts$/, '.js');
    if (existsSync(compiled)) return ['--enable-source-maps', compiled];
  }
  return ['--import', tsx, path];
}
