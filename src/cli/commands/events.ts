import type { Command } from 'commander';
import { Option } from 'commander';
import type { EventOptions } from '../../operator/session-events.js';
import type { SessionEvent, SessionEventType } from '../../options/public-types.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import type { EventLineOptions } from '../print/event-line.js';
import { eventLine } from '../print/event-line.js';
import { eventDocument } from '../print/iso-times.js';
import { orUsage } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { CHAIN, checkChain, FROM, withArchivedSession } from '../audit/from-trail.js';
import { Output } from '../print/output.js';
import { plain } from '../print/text.js';
import { sessionIdOf } from '../session-of.js';
import { placeInLog } from '../times.js';
import { listOf, wholeNumber } from '../values.js';

/** The forms of a place in a log, for the help. */
const PLACES = 'an id, 2026-11-30T13:05 (with or without a zone), 13:05:10 (today), 10m (ago)';

interface Options
  extends
    GlobalOptions,
    Pick<EventOptions, 'follow' | 'after' | 'until' | 'limit' | 'direction' | 'stream'> {
  type?: SessionEventType[];
  method?: string[];
  from?: string;
  chain?: string;
}

export function addEvents(program: Command): void {
  program
    .command('events')
    .argument('<id>', 'the id of the session, or its beginning')
    .description(
      'print the events of a session that are still kept: → is from the client, ← is to the client',
    )
    .option('--follow', 'go on with new events until the session ends')
    .option(
      '--after <place>',
      `only events after an event or from a time on: ${PLACES}`,
      placeInLog,
    )
    .option('--until <place>', 'no events after an event or a time', placeInLog)
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
    .addOption(new Option(...FROM).conflicts('follow'))
    .option(...CHAIN)
    .action((id: string, _, command: Command) => {
      checkChain(command);
      const options = command.optsWithGlobals<Options>();
      if (options.from !== undefined) return runOnTrail(options.from, id, options);
      return withObserver(options, (context) => run(context, id, options));
    });
}

async function run(context: Context, text: string, options: Options): Promise<void> {
  const { observer, output } = context;
  const wanted = wantedOf(options);
  // This checks the options. It reads nothing yet.
  orUsage(() => observer.sessions.events(text, wanted));
  const id = await sessionIdOf(context, text);
  const { signal, release } = interruptible();
  try {
    await print(observer.sessions.events(id, { ...wanted, signal }), output);
  } finally {
    release();
  }
  signal.throwIfAborted();
}

function wantedOf(options: Options): EventOptions {
  const { type: types, follow, after, until, limit, direction, stream, method } = options;
  return { types, follow, after, until, limit, direction, stream, method };
}

async function runOnTrail(from: string, id: string, options: Options): Promise<void> {
  const output = new Output({ json: options.json === true });
  const note = (text: string): void => void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
  await withArchivedSession(from, id, options, note, (sessions, { chain }) =>
    print(
      orUsage(() => sessions.events(id, { ...wantedOf(options), chain })),
      output,
      { unreadableAs: '(encrypted or erased)' },
    ),
  );
}

async function print(
  events: AsyncIterable<SessionEvent>,
  output: Output,
  options: EventLineOptions = {},
): Promise<void> {
  for await (const event of events) {
    await (output.json
      ? output.document(eventDocument(event))
      : output.line(eventLine(event, output, { ...options, withDate: true })));
  }
}
