import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SRC = join(ROOT, 'src');
const IMPORT = /^(?:import|export)\b[^;]*?\bfrom '(\.[^']+)';/gms;

/** The folders of `src`, from the bottom up, as the table in `docs/architecture/overview.md` lists them. */
function foldersInOrder(): string[] {
  const page = readFileSync(join(ROOT, 'docs/architecture/overview.md'), 'utf8');
  const [, table = ''] = page.split('## Folders');
  const rows = table.split('\n## ')[0]?.match(/^\| `.*? \|/gm) ?? [];
  return rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

it('each folder of src imports only from those above it in the overview', () => {
  const order = foldersInOrder();
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' });
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const file of files.filter((name) => name.endsWith('.ts') && name.includes(sep))) {
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
