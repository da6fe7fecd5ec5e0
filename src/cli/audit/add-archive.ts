import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Archive } from '../../audit/archiver/archive.js';
import { archive } from '../../audit/archiver/archive.js';
import type { Redact } from '../../options/public-types.js';
import type { GlobalOptions } from '../cli-context.js';
import { placesOf, redisOf } from '../cli-redis.js';
import { CommandError, EXIT, isUnavailable, orUsage } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { codecOf } from '../keys.js';
import { plain } from '../print/text.js';

interface Options extends GlobalOptions {
  to: string;
  encrypt?: boolean;
  redact?: string;
  once?: boolean;
}

export function addArchive(program: Command): void {
  program
    .command('archive')
    .description(
      'deliver the audit trail of nodes that have the option `audit`, until it is ended; a second archiver waits to take over',
    )
    .requiredOption(
      '--to <trail>',
      'where the records go: a directory, or a URL such as postgres://user@host/database',
    )
    .option('--once', 'deliver what waits now, and end')
    .option('--encrypt', 'encode the messages in the trail with the keys of the nodes')
    .option(
      '--redact <file>',
      'a module whose default export is the function `redact` of the nodes, so that the trail has no more than they show',
    )
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const redis = redisOf(options);
      if (redis === undefined) {
        throw new CommandError(
          EXIT.usage,
          'the URL of Redis is missing: give --redis URL, or set REDIS_URL',
        );
      }
      const { to: sink, prefix, timeout: commandTimeoutMs, encrypt = false } = options;
      const codec = codecOf(options);
      if (encrypt && codec === undefined) {
        throw new CommandError(EXIT.usage, '--encrypt needs keys: give --key-file');
      }
      const redact = options.redact === undefined ? undefined : await redactOf(options.redact);
      const write = (text: string): void =>
        void process.stderr.write(
          `${plain(text.replace(/^(?:mcp-anynode: )?/, 'mcp-anynode: '))}\n`,
        );
      const { signal, release } = interruptible();
      const running = orUsage(() =>
        archive({
          ...{ redis, prefix, sink, codec, redact, encrypt, commandTimeoutMs },
          logger: { info: write, warn: write, error: write },
        }),
      );
      write(`archiving what waits in ${placesOf(options.redis ?? '')}`);
      const interrupted = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      try {
        await (options.once === true
          ? Promise.race([interrupted, deliveredBy(running)])
          : interrupted);
      } finally {
        await running.close();
        release();
      }
      signal.throwIfAborted();
      write('delivered all that waited');
    });
}

/** Waits until all that waits now was delivered. */
async function deliveredBy(running: Archive): Promise<void> {
  try {
    await running.delivered();
  } catch (error) {
    if (isUnavailable(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.failed, reason.replace(/^mcp-anynode: /, ''), { cause: error });
  }
}

async function redactOf(file: string): Promise<Redact> {
  const module = (await import(pathToFileURL(resolve(file)).href).catch((cause: unknown) => {
    throw new CommandError(EXIT.usage, `cannot load ${file}: ${String(cause)}`, { cause });
  })) as { default?: unknown };
  if (typeof module.default === 'function') return module.default as Redact;
  throw new CommandError(EXIT.usage, `${file} has to export a function as its default export`);
}
