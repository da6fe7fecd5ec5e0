import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/**
 * Returns the arguments with which `node` runs a TypeScript file. By default, tsx compiles the file while it is loaded,
 * which takes most of the start of a process. So a test run compiles its programs once, into the folder that `COMPILED`
 * names.
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
