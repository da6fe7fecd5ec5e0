import type { Command } from 'commander';
import { Option } from 'commander';
import type { EventOptions } from '../../operator/session-events.js';
import type { SessionEventType } from '../../options/types.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { eventLine } from '../print/event-line.js';
import { noSuchSession, orUsage } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { listOf, wholeNumber } from '../values.js';

interface Options
  extends
    GlobalOptions,
    Pick<EventOptions, 'follow' | 'after' | 'until' | 'limit' | 'direction' | 'stream'> {
  type?: SessionEventType[];
  method?: string[];
}

export function addEvents(program: Command): void {
  program
    .command('events')
    .argument('<id>', 'the id of the session')
    .description(
      'print the events of a session that are still kept: → is from the client, ← is to the client',
    )
    .option('--follow', 'go on with new events until the session ends')
    .option('--after <event>', 'only events after the event with this id')
    .option('--until <event>', 'no events after the event with this id')
    .option('--limit <n>', 'print at most this many events', wholeNumber)
    .option(
      '--type <type>',
      'only events of this type, such as message.received; several with commas',
      listOf,
    )
    .option(
      '--method <method>',
      'only messages of this method, such as tools/call; several with commas',
      listOf,
    )
    .addOption(
      new Option(
        '--direction <way>',
        'only messages from the client (in) or to the client (out)',
      ).choices(['in', 'out']),
    )
    .option('--stream <name>', 'only events of this stream, such as g')
    .action((id: string, _, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      return withObserver(options, (context) => run(context, id, options));
    });
}

async function run({ observer, output }: Context, id: string, options: Options): Promise<void> {
  const { signal, release } = interruptible();
  const { type: types, follow, after, until, limit, direction, stream, method } = options;
  const wanted = { types, follow, after, until, limit, direction, stream, method };
  // Look before following: a session that ends meanwhile did exist.
  let known = (await observer.sessions.get(id)) !== undefined;
  const events = orUsage(() => observer.sessions.events(id, { ...wanted, signal }));
  try {
    for await (const event of events) {
      known = true;
      await (output.json ? output.document(event) : output.line(eventLine(event, output)));
    }
  } finally {
    release();
  }
  signal.throwIfAborted();
  if (!known) throw noSuchSession(id);
}
