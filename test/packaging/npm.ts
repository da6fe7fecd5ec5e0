import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a program to its end, and resolves with its output. If the program fails, the error contains the output. */
export function run(
  program: string,
  args: string[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 16 * 1024 * 1024 };
    execFile(program, args, options, (error, out, err) => {
      if (error === null) resolve(out);
      else reject(new Error(`${program} ${args.join(' ')}\n${out}\n${err}`));
    });
  });
}

export function npm(args: string[], cwd: string): Promise<string> {
  return run('npm', [...args, '--silent', '--no-audit', '--no-fund', '--prefer-offline'], { cwd });
}

export function tsc(cwd: string): Promise<string> {
  return run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], { cwd });
}

/** Makes an empty temporary folder. `remove` deletes it. */
export async function temporaryFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'mcp-anynode-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export function writeJson(folder: string, name: string, value: object): Promise<void> {
  return writeFile(join(folder, name), JSON.stringify(value, null, 2));
}

/** Returns the oldest version that a range allows. For `^1.2.3 || ^2.0.0`, that is 1.2.3. */
export function oldestOf(range: string | undefined): string {
  const [, version] = /^\^(\d+\.\d+\.\d+)/.exec(range ?? '') ?? [];
  if (version === undefined) throw new Error(`not a range that is understood here: ${range ?? ''}`);
  return version;
}
