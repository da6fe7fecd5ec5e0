// The entries of the package: the one list of them. `node scripts/entries.mjs` writes what follows from it into
// package.json, and a test fails while that is not current. `scripts/build.mjs` builds these entries.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The source of each entry, by its name without the package in front. `.` is the package itself. */
const SOURCES = {
  '.': 'src/index.ts',
  'sdk-stores': 'src/sdk-stores/index.ts',
  'legacy-sse': 'src/legacy-sse/index.ts',
  observe: 'src/operator/index.ts',
  monitor: 'src/monitor/index.ts',
  codec: 'src/codec/index.ts',
  telemetry: 'src/telemetry/index.ts',
  audit: 'src/audit/index.ts',
  lambda: 'src/lambda/index.ts',
  backplane: 'src/backplane/index.ts',
  'backplane-suite': 'test/contract/suite/index.ts',
};

/** Entries without CommonJS. The suite needs vitest, which CommonJS cannot load. */
const ESM_ONLY = ['backplane-suite'];

/** Each entry: its `name`, its `file` below `dist` without the ending, its `source`, and whether there is CommonJS of it. */
export const ENTRIES = Object.entries(SOURCES).map(([name, source]) => ({
  name,
  file: name === '.' ? 'index' : name,
  source,
  isDual: !ESM_ONLY.includes(name),
}));

/** The fields of package.json that name the files of the entries. */
export function manifestFields() {
  const esm = ({ file }) => ({ types: `./dist/${file}.d.ts`, default: `./dist/${file}.js` });
  const cjs = ({ file }) => ({ types: `./dist/${file}.d.cts`, default: `./dist/${file}.cjs` });
  const exported = ENTRIES.map((entry) => [
    entry.name === '.' ? '.' : `./${entry.name}`,
    entry.isDual ? { import: esm(entry), require: cjs(entry) } : esm(entry),
  ]);
  // For TypeScript with `moduleResolution: node10`, which does not know `exports`.
  const typed = ENTRIES.filter(({ name }) => name !== '.').map(({ name, file, isDual }) => [
    name,
    [`./dist/${file}.${isDual ? 'd.cts' : 'd.ts'}`],
  ]);
  return {
    main: './dist/index.cjs',
    types: './dist/index.d.cts',
    exports: Object.fromEntries([...exported, ['./package.json', './package.json']]),
    typesVersions: { '*': Object.fromEntries(typed) },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(root, 'package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  const written = manifestFields();
  // They all stand where `exports` does.
  const fields = Object.entries(manifest).flatMap(([name, value]) => {
    if (name === 'exports') return Object.entries(written);
    return name in written ? [] : [[name, value]];
  });
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(fields), null, 2)}\n`);
}
