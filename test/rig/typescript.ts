import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/**
 * The arguments with which `node` runs a TypeScript file: compiled while it is loaded, by tsx. That takes most of the time
 * in which a process starts, so a test run compiles its programs once, to the folder that it names in `COMPILED`.
 */
export function nodeArguments(path: string): string[] {
  const { COMPILED: folder } = process.env;
  if (folder !== undefined) {
    const inFolder = path.startsWith(folder) ? path : join(folder, relative(root, path));
    const compiled = inFolder.replace(/\.ts$/, '.mjs');
    if (existsSync(compiled)) return [compiled];
  }
  return ['--import', tsx, path];
}
