import { setTimeout as after } from 'node:timers/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { SessionEvent } from '../../session/types.js';
import type { Context, GlobalOptions } from '../context.js';
import { withObserver } from '../context.js';
import { eventLine } from '../event-line.js';
import { CommandError, EXIT, isUnavailable, noSuchSession } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { listOf, wholeNumber } from '../values.js';

interface Filter {
  type?: string[];
  method?: string[];
  direction?: 'in' | 'out';
  limit?: number;
}

interface Options extends GlobalOptions, Filter {
  follow?: boolean;
  after?: string;
}

const RETRY_MS = 1000;

export function addEvents(program: Command): void {
  program
    .command('events')
    .argument('<id>', 'of the session')
    .description(
      'print what was said in a session, as far as it is kept: → from the client, ← to it',
    )
    .option('--follow', 'go on with what comes, until the session ends')
    .option('--after <event>', 'only what came after the event with this id')
    .option('--limit <n>', 'no more than so many', wholeNumber)
    .option('--type <type>', 'only of this type; several times, or with commas', listOf)
    .option('--method <method>', 'only of this method; several times, or with commas', listOf)
    .addOption(
      new Option('--direction <way>', 'only from the client, or to it').choices(['in', 'out']),
    )
    .action((id: string, _, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      if (options.after !== undefined && !/^\d+-\d+$/.test(options.after)) {
        throw new CommandError(
          EXIT.usage,
          '--after has to be the id of an event, such as 1795404281703-0',
        );
      }
      return withObserver(options, (context) => run(context, id, options));
    });
}

async function run(context: Context, id: string, options: Options): Promise<void> {
  const { observer, output, note } = context;
  const { signal, release } = interruptible();
  const wanted = wantedBy(options);
  let from = options.after;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  let known = (await observer.sessions.get(id)) !== undefined;
  let away = false;
  try {
    for (;;) {
      try {
        for await (const event of observer.sessions.events(
          id,
          from === undefined ? {} : { after: from },
        )) {
          if (signal.aborted) break;
          from = event.id;
          known = true;
          if (!wanted(event)) continue;
          await (output.json ? output.document(event) : output.line(eventLine(event, output)));
          if ((left -= 1) === 0) return;
        }
        if (!known) throw noSuchSession(id);
        if (options.follow !== true) return;
        if ((await observer.sessions.get(id)) === undefined) {
          note('the session has ended');
          return;
        }
        away = false;
      } catch (error) {
        // Redis may go away while one follows, but not before.
        if (!isUnavailable(error) || options.follow !== true || from === undefined) throw error;
        if (!away) note(String(error));
        away = true;
      }
      await after(RETRY_MS, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  } finally {
    release();
  }
}

function wantedBy({ method, direction }: Filter): (event: SessionEvent) => boolean {
  return (event) => {
    if (direction !== undefined && event.direction !== direction) return false;
    if (method === undefined) return true;
    const { message } = event;
    return message !== undefined && 'method' in message && method.includes(message.method);
  };
}
