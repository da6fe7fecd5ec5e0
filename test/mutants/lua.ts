import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Lua functions, by the name of the function that each replaces. A replacement may call the replaced function as
 * `original`.
 */
type Replacements = Record<string, string>;

/**
 * Replaces functions of a Lua include. The replacements are added after the include, or after a later include (`behind`)
 * whose variables they need. It has to be called before the scripts are read.
 */
export function replaceInScript(include: string, by: Replacements, behind = include): void {
  const read = fs.readFileSync.bind(fs);
  const contentOf = (name: string): string =>
    read(
      new URL(`../../src/backplane/redis/scripts/includes/${name}.lua`, import.meta.url),
      'utf8',
    );
  const declared = contentOf(include);
  const added = Object.entries(by).map(([name, lua]) => {
    if (!declared.includes(`local function ${name}(`)) {
      throw new Error(`${include}.lua has no function ${name}`);
    }
    return `do local original = ${name} ${name} = ${lua} end`;
  });
  const replaced = (...args: Parameters<typeof read>): string | Buffer =>
    String(args[0]).endsWith(`/scripts/includes/${behind}.lua`)
      ? [contentOf(behind), ...added, ''].join('\n')
      : read(...args);
  fs.readFileSync = replaced as typeof fs.readFileSync;
  syncBuiltinESMExports();
}
