import { CommandError, EXIT } from './exit.js';

/**
 * Lets a command that would go on for ever be ended in good order: the first SIGINT or SIGTERM aborts `signal`, the
 * second ends the process at once. The command throws `signal.reason` when it has tidied up.
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
  // Nothing else may keep the process while it waits for Redis.
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
