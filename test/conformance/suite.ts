import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('.', import.meta.url));

/** One check that a scenario made, as the suite writes it down. */
export interface Check {
  id: string;
  status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  errorMessage?: string;
}

/** The checks of each scenario, by its name. */
export type SuiteResult = Map<string, Check[]>;

/**
 * Installs the suite, which has a folder of its own: its dependencies are none of the project's, and it needs a
 * newer Node than the project does, which comes as a package too.
 */
export async function installSuite(): Promise<void> {
  if (existsSync(join(folder, 'node_modules/.package-lock.json'))) return;
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder });
}

/**
 * Runs every scenario of the suite that a revision of the protocol has.
 *
 * The result is read from the files that the suite leaves, not from what it prints: there, a scenario that could
 * check nothing counts as passed.
 */
export async function runSuite(url: string, specVersion: string): Promise<SuiteResult> {
  const node = join(folder, 'node_modules/node/bin/node');
  const suite = join(folder, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
  const output = await mkdtemp(join(tmpdir(), 'conformance-'));
  const options = ['--suite', 'all', '--spec-version', specVersion, '--output-dir', output];
  try {
    // It ends with code 1 when a check failed. The files say which, so that is no error unless there are none.
    const ended: unknown = await run(node, [suite, 'server', '--url', url, ...options], {
      maxBuffer: 1e8,
    }).catch((error: unknown) => error);
    const result: SuiteResult = new Map();
    for (const directory of (await readdir(output)).sort()) {
      const file = await readFile(join(output, directory, 'checks.json'), 'utf8');
      const scenario = directory.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
      result.set(scenario, JSON.parse(file) as Check[]);
    }
    if (result.size === 0) throw new Error('The suite ran no scenario', { cause: ended });
    return result;
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

/** What the tests compare: the names of the checks that succeeded, by scenario. */
export function successes(result: SuiteResult): Record<string, string[]> {
  const entries = [...result].map(([scenario, checks]): [string, string[]] => [
    scenario,
    checks.filter(({ status }) => status === 'SUCCESS').map(({ id }) => id),
  ]);
  return Object.fromEntries(entries);
}

/** What went wrong, a line each; warnings and skipped checks count, since they stand for something not checked. */
export function complaints(result: SuiteResult): string[] {
  return [...result].flatMap(([scenario, checks]) =>
    checks
      .filter(({ status }) => status !== 'SUCCESS' && status !== 'INFO')
      .map(({ id, status, errorMessage }) => `${scenario}: ${status} ${id}: ${errorMessage ?? ''}`),
  );
}
