import { CommandError, EXIT } from './exit.js';

/**
 * Lets the user end a command that runs until it is told to stop. The first SIGINT or SIGTERM aborts `signal`. The second
 * ends the process at once. The command cleans up and throws `signal.reason`. Call `release` when the command ends.
 */
export function interruptible(): {
  signal: AbortSignal;
  abort: (reason: Error) => void;
  release: () => void;
} {
  const controller = new AbortController();
  const on = (exitCode: number) => (): void => {
    if (controller.signal.aborted) process.exit(exitCode);
    controller.abort(new CommandError(exitCode, ''));
  };
  const [interrupt, terminate] = [on(EXIT.interrupted), on(EXIT.terminated)];
  // While the command waits for Redis, nothing else may keep the process running.
  const stay = setInterval(() => undefined, 60_000);
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', terminate);
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => {
      clearInterval(stay);
      process.removeListener('SIGINT', interrupt);
      process.removeListener('SIGTERM', terminate);
    },
  };
}
