// Compiles src/ and the contract suite to dist/, copies the Lua scripts beside the code that loads them, and makes the command
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
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
cpSync(join(root, 'src/backplane/redis/scripts'), join(root, 'dist/backplane/redis/scripts'), {
  recursive: true,
});
for (const folder of ['suite', 'sdk-stores']) buildSuite(folder);
chmodSync(join(root, 'dist/cli/main.js'), 0o755);

/** The contract suite lies among the tests, and the package has it as `mcp-anynode/backplane-suite`. */
function buildSuite(folder) {
  const from = join(root, 'test/contract', folder);
  const to = join(root, 'dist/backplane-suite', folder);
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
