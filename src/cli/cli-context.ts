import type { Observer } from '../operator/observer.js';
import { observe } from '../operator/observe.js';
import { AnynodeError } from '../protocol/errors.js';
import { CommandError, EXIT, isUnavailable, orUsage } from './exit.js';
import type { KeyChoice } from './keys.js';
import { codecOf } from './keys.js';
import { Output } from './print/output.js';
import type { RedisChoice } from './cli-redis.js';
import { plain } from './print/text.js';
import { placesOf, redisOf } from './cli-redis.js';

/** Options that every command has. */
export interface GlobalOptions extends RedisChoice, KeyChoice {
  prefix: string;
  json?: boolean;
  timeout: number;
}

/** Gives a command the observer of the cluster and the output to print to. */
export interface Context {
  observer: Observer;
  prefix: string;
  output: Output;
  /** Writes a message that is no result to stderr, with and without `--json`. */
  note: (text: string) => void;
}

/** Opens an observer, runs the command with it, and closes the observer even if the command fails. */
export async function withObserver(
  options: GlobalOptions,
  command: (context: Context) => Promise<void>,
): Promise<void> {
  const redis = redisOf(options);
  if (redis === undefined) {
    throw new CommandError(
      EXIT.usage,
      'the URL of Redis is missing: give --redis URL, or set REDIS_URL',
    );
  }
  const { prefix, timeout: commandTimeoutMs } = options;
  const codec = codecOf(options);
  const observer = orUsage(() => observe({ redis, prefix, commandTimeoutMs, codec }));
  const note = (text: string): void => void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
  try {
    await command({ observer, prefix, output: new Output({ json: options.json === true }), note });
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    const place = placesOf(options.redis ?? '');
    const reason = error instanceof AnynodeError ? reasonOf(error) : String(error);
    throw new CommandError(EXIT.unavailable, `cannot reach ${place}: ${reason}`, { cause: error });
  } finally {
    observer.close();
  }
}

function reasonOf({ cause, message }: AnynodeError): string {
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}
