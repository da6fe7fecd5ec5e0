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

/** What a command that looks at a cluster works with. */
export interface Context {
  observer: Observer;
  output: Output;
  /** For what is no result: on stderr, whatever `--json` says. */
  note: (text: string) => void;
}

/** Opens what a command needs, runs it, and closes it again, however it ends. */
export async function withObserver(
  options: GlobalOptions,
  command: (context: Context) => Promise<void>,
): Promise<void> {
  const redis = redisOf(options);
  if (redis === undefined) {
    throw new CommandError(EXIT.usage, 'which Redis? Give --redis URL, or set REDIS_URL');
  }
  const { prefix, timeout: commandTimeoutMs } = options;
  const codec = codecOf(options);
  const observer = orUsage(() => observe({ redis, prefix, commandTimeoutMs, codec }));
  const note = (text: string): void => void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
  try {
    await command({ observer, output: new Output({ json: options.json === true }), note });
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
