import { readdirSync, readFileSync } from 'node:fs';

/**
 * The text of each script that Redis gets, by its path below `../scripts`. In the sources, this module reads the files, so
 * that an edited script takes effect with the next run. The package reads no file: `npm run build` (scripts/build.mjs)
 * replaces this module by one that contains the texts.
 */
export const SCRIPT_TEXTS: Readonly<Record<string, string>> = readScripts(
  new URL('../scripts/', import.meta.url),
);

/** Files in the folder `includes` are parts of scripts. Each other file is a script. */
function readScripts(folder: URL): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.lua') && !path.startsWith('includes/'))
    .map((path) => path.slice(0, -'.lua'.length))
    .sort();
  return Object.fromEntries(names.map((name) => [name, readScript(folder, name)]));
}

/**
 * Reads a script, with its includes in front. An include comes after those that it includes itself, and only once. Comments
 * and empty lines are left out, so that they can change while the script keeps its hash.
 */
function readScript(folder: URL, name: string): string {
  const parts: string[] = [];
  const seen = new Set<string>();
  const add = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const lua = readFileSync(new URL(`${file}.lua`, folder), 'utf8');
    for (const [, include = ''] of lua.matchAll(/^--- @include "(.+)"$/gm)) {
      add(`includes/${include}`);
    }
    parts.push(lua.replace(/^ *(--.*)?\n/gm, ''));
  };
  add(name);
  return parts.join('');
}
