import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SRC = join(ROOT, 'src');
const IMPORT = /^(?:import|export)\b[^;]*?\bfrom '(\.[^']+)';/gms;

/** The TypeScript files of `src`. */
const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.tsx?$/.test(name),
);
const MOST_FILES = 13;
const MOST_LINES = 400;

/** The folders of `src`, from the bottom up, as the table in `docs/architecture/overview.md` lists them. */
function foldersInOrder(): string[] {
  const page = readFileSync(join(ROOT, 'docs/architecture/overview.md'), 'utf8');
  const [, table = ''] = page.split('## Folders');
  const rows = table.split('\n## ')[0]?.match(/^\| `.*? \|/gm) ?? [];
  return rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

it('each folder of src imports only from those above it in the overview', () => {
  const order = foldersInOrder();
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const file of FILES.filter((name) => name.includes(sep))) {
    const [folder = ''] = file.split(sep);
    seen.add(folder);
    for (const [, path = ''] of readFileSync(join(SRC, file), 'utf8').matchAll(IMPORT)) {
      const [other = ''] = relative(SRC, join(SRC, dirname(file), path)).split(sep);
      // The command line starts nodes: it is the one folder that imports `node.ts`.
      const isAllowed = order.includes(other)
        ? order.indexOf(other) <= order.indexOf(folder)
        : folder === 'cli';
      if (!isAllowed) wrong.push(`${file} imports from ${other}`);
    }
  }
  expect(wrong).toEqual([]);
  expect([...seen].sort()).toEqual([...order].sort());
});

it('no two files of src have the same name, except index.ts', () => {
  const names = FILES.map((file) => basename(file)).filter((name) => name !== 'index.ts');
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

it(`no folder of src has more than ${MOST_FILES} files, and no file more than ${MOST_LINES} lines`, () => {
  const counts = new Map<string, number>();
  for (const file of FILES) {
    const folder = dirname(file).replaceAll(sep, '/');
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const large = [...counts].filter(([, count]) => count > MOST_FILES);
  expect(large).toEqual([]);
  const linesOf = (file: string) =>
    readFileSync(join(SRC, file), 'utf8').trimEnd().split('\n').length;
  expect(FILES.filter((file) => linesOf(file) > MOST_LINES)).toEqual([]);
});
