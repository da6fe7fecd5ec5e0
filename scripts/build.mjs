// Compiles src/ to dist/, copies the Lua scripts beside the code that loads them, and makes the command executable.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
cpSync(join(root, 'src/backplane/redis/scripts'), join(root, 'dist/backplane/redis/scripts'), {
  recursive: true,
});
chmodSync(join(root, 'dist/cli/main.js'), 0o755);
