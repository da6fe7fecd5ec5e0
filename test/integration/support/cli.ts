import { execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { nodeArguments } from '../../rig/typescript.js';

const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));

/** Program and arguments of the command line. */
const COMMAND = [process.execPath, ...nodeArguments(main)];

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** From its start. */
  ms: number;
}

/** A command that runs. It is killed with the test, if it has not ended before. */
export class Running {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended>;
  private readonly waiting = new Set<() => void>();
  readonly pid: number | undefined;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly closeOutput: () => void;
  readonly type: (keys: string) => void;

  constructor(program: string, args: string[], env: NodeJS.ProcessEnv) {
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const started = Date.now();
    this.pid = child.pid;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.wake();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.wake();
    });
    child.stdin.on('error', () => undefined); // it may have ended
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        resolve({
          ...{ code, signal, stdout: this.stdout, stderr: this.stderr },
          ms: Date.now() - started,
        });
        this.wake();
      });
    });
    this.kill = (signal) => void child.kill(signal);
    this.closeOutput = () => void child.stdout.destroy();
    this.type = (keys) => void child.stdin.write(keys);
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await this.ended;
    });
  }

  /** Waits until it has printed this. */
  async until(what: string | RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    const over = this.ended.then(() => true);
    while (!(typeof what === 'string' ? this[where].includes(what) : what.test(this[where]))) {
      const woken = new Promise<boolean>((resolve) => this.waiting.add(() => resolve(false)));
      if (await Promise.race([woken, over])) {
        throw new Error(`It ended without ${String(what)}:\n${this.stdout}\n${this.stderr}`);
      }
    }
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

/** A command in a pseudo terminal of `script`, whose child it is. */
class InTerminal extends Running {
  /** Tells the command itself. */
  async signal(name: NodeJS.Signals): Promise<void> {
    process.kill(await this.command(), name);
  }

  /**
   * As when somebody drags a side of the window: the kernel tells the command. One side at a time, as `stty` makes a call
   * for each, and the command hears of both.
   */
  async resize(side: 'cols' | 'rows', size: number): Promise<void> {
    const terminal = `/proc/${await this.command()}/fd/1`;
    await promisify(execFile)('stty', ['-F', terminal, side, `${size}`]);
  }

  private async command(): Promise<number> {
    return Number(await readFile(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8'));
  }
}

function environment(extra: Record<string, string>): NodeJS.ProcessEnv {
  const { REDIS_URL: _, ...env } = process.env;
  return { ...env, NO_COLOR: '', ...extra };
}

export function startCli(args: string[], env: Record<string, string> = {}): Running {
  const [program = '', ...rest] = COMMAND;
  return new Running(program, [...rest, ...args], environment(env));
}

/** In a pseudo terminal of `script`, so wide and so high. */
export function startCliInTerminal(
  args: string[],
  {
    columns = 100,
    rows = 30,
    env = {},
  }: { columns?: number; rows?: number; env?: Record<string, string> } = {},
): InTerminal {
  const quoted = [...COMMAND, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`);
  const line = `stty cols ${columns} rows ${rows}; exec ${quoted.join(' ')}`;
  return new InTerminal(
    'script',
    ['-qefc', line, '/dev/null'],
    environment({ TERM: 'xterm', ...env }),
  );
}

export function cli(args: string[], env?: Record<string, string>): Promise<Ended> {
  return startCli(args, env).ended;
}

export function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

export function jsonLines<T>(text: string): T[] {
  return lines(text).map((line) => JSON.parse(line) as T);
}
