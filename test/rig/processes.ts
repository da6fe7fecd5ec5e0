import { spawn } from 'node:child_process';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Calls } from './calls.js';
import { OutputTail } from './output-tail.js';
import { StartError } from './service.js';
import { nodeArguments } from './typescript.js';

export interface NodeOptions {
  /** A TypeScript or JavaScript file that calls `serveParent()`. */
  script: string | URL;
  /** Variables to add to the environment of this process. `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  args?: readonly string[];
  /** The program that runs the file. Default: the `node` of this process. */
  execPath?: string;
  /** Options for that program, such as `--expose-gc`. */
  execArgv?: readonly string[];
  /** How long the node may take to report that it is ready. Default: 30,000 ms. */
  timeoutMs?: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface NodeProcess {
  port: number;
  /** The URL without a path: `http://127.0.0.1:<port>`. */
  url: string;
  pid: number;
  /** The node id that the child reported. It is empty if the child reported none. */
  nodeId: string;
  /** The last part of the node's output to stdout and stderr. */
  readonly output: string;
  /** Resolves when the process has ended. Never rejects. */
  exited: Promise<Exit>;
  /**
   * Calls one of the methods that the node gave to `serveParent()`, and resolves with the result. Rejects with the error
   * that the method threw, or if the process ends before it has answered.
   */
  call: <T = unknown>(method: string, params?: unknown) => Promise<T>;
  /** Sends a signal: `SIGKILL` for a crash, `SIGSTOP` and `SIGCONT` for a long pause. */
  kill: (signal: NodeJS.Signals) => void;
  /** Sends `SIGTERM`, and `SIGKILL` if the process still runs after `graceMs` (5,000). A second call is harmless. */
  stop: (options?: { graceMs?: number }) => Promise<void>;
}

/**
 * Starts a node in its own process, and waits until the node reports that it serves.
 *
 * The node's process ends when this process ends, in whatever way, because the channel between them closes. Throws
 * `StartError` with the node's output if the node ends before it is ready, or is not ready in time.
 */
export async function startNode(options: NodeOptions): Promise<NodeProcess> {
  const { script, args = [], env = {}, timeoutMs = 30_000 } = options;
  const { execPath = process.execPath, execArgv = [] } = options;
  const path = script instanceof URL ? fileURLToPath(script) : script;
  const child = spawn(execPath, [...execArgv, ...nodeArguments(path), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const output = new OutputTail(child.stdout, child.stderr);
  const exited = new Promise<Exit>((resolve) => {
    // 'close' comes after the last output.
    child.once('close', (code, signal) => resolve({ code, signal }));
    // If the program could not be started, there is no 'close'.
    child.once('error', () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  const calls = new Calls(child, path);

  const ready = await Promise.race([
    calls.ready,
    exited.then(
      ({ code, signal }) => `ended with ${signal ?? code ?? 'nothing'} before it was ready`,
    ),
    after(timeoutMs, undefined, { ref: false }).then(() => `was not ready within ${timeoutMs} ms`),
  ]);
  if (typeof ready === 'string' || child.pid === undefined) {
    child.kill('SIGKILL');
    await exited;
    throw new StartError(
      path,
      typeof ready === 'string' ? ready : 'has no process id',
      output.text,
    );
  }
  return {
    port: ready.port,
    url: `http://127.0.0.1:${ready.port}`,
    pid: child.pid,
    nodeId: ready.nodeId ?? '',
    get output() {
      return output.text;
    },
    exited,
    call: <T>(method: string, params?: unknown) => calls.call(method, params) as Promise<T>,
    kill: (signal) => void child.kill(signal),
    stop: async ({ graceMs = 5_000 } = {}) => {
      child.kill('SIGTERM');
      // A paused process reacts to no other signal.
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}
