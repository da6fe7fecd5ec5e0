import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** Installs the frameworks, which have a folder of their own, where that has not been done. */
export async function installWebFrameworks(): Promise<void> {
  if (existsSync(join(folder, 'node_modules/.package-lock.json'))) return;
  const args = ['ci', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'];
  await promisify(execFile)('npm', args, { cwd: folder });
}
