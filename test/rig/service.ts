import { spawn, spawnSync } from 'node:child_process';
import { setTimeout as after } from 'node:timers/promises';
import { findBinary } from './binaries.js';
import { OutputTail } from './output-tail.js';
import { freePort } from './ports.js';

export interface Service {
  pid: number;
  /** The last part of the output to stdout and stderr. */
  output: OutputTail;
  /** Resolves when the process has ended. */
  exited: Promise<void>;
  kill: (signal: NodeJS.Signals) => void;
  /** Kills the process, and resolves when it has ended. A second call is harmless. */
  stop: () => Promise<void>;
}

/** The user that a program runs as. Only root can choose one. */
export interface ServiceUser {
  uid: number;
  gid: number;
}

/** The service ended before it was ready, or was not ready in time. The message contains its output. */
export class StartError extends Error {
  override name = 'StartError';

  constructor(
    program: string,
    what: string,
    readonly output: string,
  ) {
    super(`${program} ${what}. It wrote:\n${output.trim() || '(nothing)'}`);
  }

  /** True if another process has the port, according to the output of Redis, nginx or PostgreSQL. */
  get isPortTaken(): boolean {
    return /already in use|Failed listening on port/i.test(this.output);
  }
}

let mortal: readonly string[] | undefined;

/**
 * Returns the words to put before a command, so that it is killed when this process ends. Returns none where that is not
 * possible.
 */
function diesWithParent(): readonly string[] {
  const setpriv = findBinary('setpriv');
  if (setpriv === undefined) return [];
  const prefix = [setpriv, '--pdeathsig', 'KILL', '--'];
  // Alpine's setpriv does not know the option.
  const { status } = spawnSync(setpriv, [...prefix.slice(1), process.execPath, '--version']);
  return status === 0 ? prefix : [];
}

/**
 * Starts a program that serves until it is killed, and waits until `ready` matches a line of its output.
 *
 * The program itself must write the line: a connection to its port would also succeed if another process had the port. The
 * program ends with this process. On Linux the kernel ensures that (`setpriv`). Elsewhere an exit listener does, which does
 * not run if a signal ends this process. Throws `StartError` if the program ends early or is not ready within `timeoutMs`.
 */
export async function startService(
  command: string,
  args: readonly string[],
  options: { ready: RegExp; cwd: string; timeoutMs?: number; user?: ServiceUser | undefined },
): Promise<Service> {
  const { ready, cwd, timeoutMs = 15_000, user } = options;
  mortal ??= diesWithParent();
  const [program, ...rest] = [...mortal, command, ...args] as [string, ...string[]];

  const child = spawn(program, rest, { ...user, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = new OutputTail(child.stdout, child.stderr);
  const onParentExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onParentExit);
  const exited = new Promise<void>((resolve) => {
    // 'close' comes after the last output. If the program could not be started, only 'error' comes.
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  }).finally(() => process.off('exit', onParentExit));

  const outcome = await Promise.race([
    output.includes(ready).then(() => 'ready'),
    exited.then(() => 'ended before it was ready'),
    after(timeoutMs, undefined, { ref: false }).then(() => `was not ready within ${timeoutMs} ms`),
  ]);
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  if (outcome !== 'ready' || child.pid === undefined) {
    await stop();
    throw new StartError(command, outcome, output.text);
  }
  return { pid: child.pid, output, exited, kill: (signal) => void child.kill(signal), stop };
}

/**
 * Starts a service on the given port. If that is `undefined` or 0, `choosePort` chooses a port. If another process takes
 * that port first, it tries again, ten times at most.
 */
export async function startOnPort<T>(
  wanted: number | undefined,
  start: (port: number) => Promise<T>,
  choosePort: () => Promise<number> = freePort,
): Promise<{ port: number; service: T }> {
  if (wanted) return { port: wanted, service: await start(wanted) };
  for (let attempt = 1; ; attempt++) {
    const port = await choosePort();
    try {
      return { port, service: await start(port) };
    } catch (error) {
      const snatched = error instanceof StartError && error.isPortTaken;
      if (!snatched || attempt === 10) throw error;
    }
  }
}
