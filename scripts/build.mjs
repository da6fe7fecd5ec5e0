// Builds dist/: each entry of the package and the contract suite as ES modules and as CommonJS, with their types, and the
// command. Code that entries share is in chunks. What some modules read from files is put into them as text.
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build as buildModules } from 'tsdown';
import ts from 'typescript';
import { build as buildPage } from 'vite';
import { ENTRIES } from './entries.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

/** The modules that read files. The package reads none when it runs, so that it can be bundled into one file. */
const READING = [
  'src/backplane/redis/commands/script-texts.ts',
  'src/protocol/version.ts',
  'src/monitor/page-assets.ts',
];

rmSync(dist, { recursive: true, force: true });
await buildPage({ configFile: join(root, 'src/monitor/page/vite.config.js') });

const sources = (entries) =>
  Object.fromEntries(entries.map(({ file, source }) => [file, join(root, source)]));
await Promise.all([
  compile('esm', { ...sources(ENTRIES), 'cli/main': join(root, 'src/cli/main.ts') }),
  compile('cjs', sources(ENTRIES.filter(({ isDual }) => isDual))),
]);
ignoreMissingTypes();
chmodSync(join(dist, 'cli/main.js'), 0o755);

function compile(format, entry) {
  return buildModules({
    cwd: root,
    config: false,
    entry,
    format,
    outDir: dist,
    clean: false,
    platform: 'node',
    target: 'node20.19',
    tsconfig: 'tsconfig.build.json',
    // The command has no types.
    dts: { entry: ENTRIES.map(({ source }) => source) },
    // The names in stack traces are those of the source, which the package does not contain.
    sourcemap: false,
    // Every dependency is installed beside the package, or by those who need it.
    deps: { skipNodeModulesBundle: true },
    // `package.json` says that a file `.js` is an ES module.
    fixedExtension: false,
    hash: false,
    outputOptions: (options) => ({
      ...options,
      comments: { jsdoc: false },
      codeSplitting: { groups: [{ name: 'runtime', test: /^\0rolldown\/runtime/ }] },
      chunkFileNames: `chunks/${options.chunkFileNames}`,
    }),
    // Plugins take their time, and CommonJS is for those who need it.
    inputOptions: { checks: { pluginTimings: false } },
    checks: { legacyCjs: false },
    plugins: [{ name: 'texts', load: textsOf }],
    logLevel: 'warn',
  });
}

/** Runs a module that reads files, and returns one that has the values which it exports in its text. */
async function textsOf(id) {
  if (!READING.includes(relative(root, id).replaceAll(sep, '/'))) return undefined;
  const { outputText } = ts.transpileModule(readFileSync(id, 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const code = outputText.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id)));
  const exported = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  const constants = Object.entries(exported).map(([name, value]) =>
    typeof value === 'function'
      ? `const value = ${JSON.stringify(value())};\nexport const ${name} = () => value;\n`
      : `export const ${name} = ${JSON.stringify(value)};\n`,
  );
  return { code: constants.join(''), moduleType: 'js' };
}

/**
 * Lets the types compile where there is no `@types/express`. What they take from it is `any` there, as all of Express is in
 * such a program.
 */
function ignoreMissingTypes() {
  for (const name of readdirSync(dist, { recursive: true })) {
    if (!/\.d\.c?ts$/.test(name)) continue;
    const file = join(dist, name);
    const types = readFileSync(file, 'utf8');
    const ignoring = types.replaceAll(/^import .* from "express";$/gm, '// @ts-ignore\n$&');
    if (ignoring !== types) writeFileSync(file, ignoring);
  }
}
