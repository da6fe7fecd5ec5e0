// Compiles src/ and the contract suite to dist/, puts what some modules read from files into them, and makes the command
// executable.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { build } from 'vite';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
for (const folder of ['suite', 'sdk-stores']) buildSuite(folder);

// The package reads no file when it runs, so that it can be bundled into one.
const scripts = join(dist, 'backplane/redis/scripts');
cpSync(join(root, 'src/backplane/redis/scripts'), scripts, { recursive: true });
await replaceByValues('backplane/redis/commands/script-texts.js');
await replaceByValues('protocol/version.js');
rmSync(scripts, { recursive: true });
await buildPage();

chmodSync(join(dist, 'cli/main.js'), 0o755);

/** Runs a module, and writes one in its place that has the values which this one exports in its text. */
async function replaceByValues(module) {
  const file = join(dist, module);
  const values = Object.entries(await import(pathToFileURL(file)));
  const lines = values.map(
    ([name, value]) => `export const ${name} = ${JSON.stringify(value, null, 2)};\n`,
  );
  writeFileSync(file, lines.join(''));
}

/** Builds the page of the monitor, and puts its files as texts into the module that has them. */
async function buildPage() {
  const page = join(root, 'src/monitor/page');
  await build({ configFile: join(page, 'vite.config.js') });
  const read = (name) => readFileSync(join(page, 'built', name), 'utf8');
  const assets = { html: read('index.html'), js: read('page.js'), css: read('page.css') };
  const text = `const assets = ${JSON.stringify(assets)};\nexport const pageAssets = () => assets;\n`;
  writeFileSync(join(dist, 'monitor/page-assets.js'), text);
}

/** The contract suite lies among the tests, and the package has it as `mcp-anynode/backplane-suite`. */
function buildSuite(folder) {
  const from = join(root, 'test/contract', folder);
  const to = join(dist, 'backplane-suite', folder);
  mkdirSync(to, { recursive: true });
  const compilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
  };
  for (const name of readdirSync(from)) {
    // What the suite imports of `src` lies two folders up in the package.
    const source = readFileSync(join(from, name), 'utf8').replaceAll("'../../../src/", "'../../");
    const options = { compilerOptions, fileName: join(from, name) };
    const emit = (ending, { outputText }) =>
      writeFileSync(join(to, name.replace(/\.ts$/, ending)), outputText);
    emit('.js', ts.transpileModule(source, options));
    // The other files are not seen from outside.
    if (!/^(index|store|describe-(backplane|sdk-stores))\.ts$/.test(name)) continue;
    emit('.d.ts', ts.transpileDeclaration(source, options));
  }
}
