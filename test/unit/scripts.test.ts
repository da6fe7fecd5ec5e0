import { expect, it } from 'vitest';
import { SCRIPT_TEXTS as scripts } from '../../src/backplane/redis/commands/scripts.js';

const uncommented = (lua: string) => lua.replace(/--.*$/gm, '');
const DEFINITION = /\blocal function (\w+)/g;
const known = new Set(
  [...scripts.values()].flatMap((lua) =>
    [...lua.matchAll(DEFINITION)].map(([, name = '']) => name),
  ),
);

/** Functions that are called, and defined nowhere before. */
function missing(lua: string): string[] {
  const text = uncommented(lua);
  return [...known].filter((name) => {
    const called = text.search(new RegExp(`(?<!function )(?<![.\\w])${name}\\(`));
    const defined = text.search(new RegExp(`\\blocal function ${name}\\b`));
    return called >= 0 && (defined < 0 || defined > called);
  });
}

// A script is made of several files. One that is left out would be noticed by the first run that comes to need it.
it.each([...scripts.keys()])('%s has all that it calls', (name) => {
  const lua = scripts.get(name) ?? '';
  expect(lua).toContain('redis.');
  expect(missing(lua)).toEqual([]);
});

it('finds what is left out', () => {
  const lua = scripts.get('anynode:commit/open') ?? '';
  expect(missing(lua.replace('local function ownerUnless', 'local function x'))).toEqual([
    'ownerUnless',
  ]);
});
