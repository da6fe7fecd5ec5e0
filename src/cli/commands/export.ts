import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { SessionEvent, SessionInfo } from '../../options/public-types.js';
import type { ArchivedChoice } from '../audit/from-trail.js';
import { CHAIN, checkChain, FROM, withArchivedSession } from '../audit/from-trail.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { CommandError, EXIT, noSuchSession } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { Output } from '../print/output.js';
import { counted, json, plain } from '../print/text.js';
import { requireNodes, sessionIdOf } from '../session-of.js';
import type { EventSummary } from '../../timeline/event-summary.js';
import { summaryOf } from '../../timeline/event-summary.js';
import { mermaid } from '../../timeline/mermaid.js';

interface Options extends GlobalOptions {
  all?: boolean;
  format: 'jsonl' | 'mermaid';
  output?: string;
  from?: string;
  chain?: string;
}

/** Takes the lines of an export. */
interface Sink {
  line(text: string): Promise<void>;
  /** Completes the export after the last line. */
  done(): Promise<void>;
  /** Discards an export that failed. */
  drop(): Promise<void>;
}

export function addExport(program: Command): void {
  program
    .command('export')
    .argument('[id]', 'the id of the session, or its beginning')
    .description(
      'write sessions and their events as JSON Lines: one line for the session, then one for each event',
    )
    .option('--all', 'export all sessions')
    .addOption(
      new Option(
        '--format <format>',
        'mermaid: a sequence diagram of one session instead, without the content of messages',
      )
        .choices(['jsonl', 'mermaid'])
        .default('jsonl'),
    )
    .option(
      '--output <file>',
      'write to this file, which only its owner may read, instead of standard output',
    )
    .option(...FROM)
    .option(...CHAIN)
    .action((id: string | undefined, _, command: Command) => {
      checkChain(command);
      const { all = false, output: file, format, ...options } = command.optsWithGlobals<Options>();
      if (all === (id !== undefined)) {
        throw new CommandError(EXIT.usage, 'give either the id of a session or --all');
      }
      if (all && format === 'mermaid') {
        throw new CommandError(EXIT.usage, 'a diagram shows one session: give its id');
      }
      if (options.from === undefined) {
        return withObserver(options, (context) => run(context, { id, file, format }));
      }
      if (id === undefined) {
        throw new CommandError(EXIT.usage, '--from needs the id of one session');
      }
      return runOnTrail(options.from, id, { file, format, options });
    });
}

async function run(
  context: Context,
  { id, file, format }: { id: string | undefined; file: string | undefined; format: string },
) {
  const { observer, output, note } = context;
  const { signal, release } = interruptible();
  const sink = await openSink(file, output);
  const count = { sessions: 0, events: 0 };
  const write = async (info: SessionInfo): Promise<void> => {
    count.sessions += 1;
    count.events += await writeSession(
      info,
      observer.sessions.events(info.id),
      format,
      sink,
      signal,
    );
  };
  try {
    if (id === undefined) {
      for await (const info of observer.sessions.list()) await write(info);
      if (count.sessions === 0) await requireNodes(context);
    } else {
      const info = await observer.sessions.get(await sessionIdOf(context, id));
      if (info === undefined) throw noSuchSession(id);
      await write(info);
    }
    await sink.done();
  } catch (error) {
    await sink.drop();
    throw error;
  } finally {
    release();
  }
  if (file !== undefined)
    note(`${counted(count.sessions, 'session')}, ${counted(count.events, 'event')} in ${file}`);
}

/** Exports one session of an audit trail. */
async function runOnTrail(
  from: string,
  id: string,
  { file, format, options }: { file: string | undefined; format: string; options: ArchivedChoice },
): Promise<void> {
  const note = (text: string): void => void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
  const { signal, release } = interruptible();
  try {
    await withArchivedSession(from, id, options, note, async (sessions, archived) => {
      const info = await sessions.get(id, archived);
      if (info === undefined) throw noSuchSession(id);
      const sink = await openSink(file, new Output({ json: false }));
      try {
        const events = sessions.events(id, archived);
        const count = await writeSession(info, events, format, sink, signal);
        await sink.done();
        if (file !== undefined) note(`1 session, ${counted(count, 'event')} in ${file}`);
      } catch (error) {
        await sink.drop();
        throw error;
      }
    });
  } finally {
    release();
  }
}

/** Writes one session, and returns how many events it has. */
async function writeSession(
  info: SessionInfo,
  events: AsyncIterable<SessionEvent>,
  format: string,
  sink: Sink,
  signal: AbortSignal,
): Promise<number> {
  const isDiagram = format === 'mermaid';
  const summaries: EventSummary[] = [];
  let count = 0;
  if (!isDiagram) await sink.line(json({ v: 1, session: info.id, info }));
  for await (const event of events) {
    signal.throwIfAborted();
    if (isDiagram) summaries.push(summaryOf(event, { messages: false }));
    else await sink.line(json({ v: 1, session: info.id, ...event }));
    count += 1;
  }
  const title = `session ${info.id.slice(0, 8)} of ${info.clientInfo.name}`;
  if (isDiagram) await sink.line(mermaid(summaries, title).trimEnd());
  return count;
}

function openSink(file: string | undefined, output: Output): Promise<Sink> {
  if (file !== undefined) return openFile(file);
  return Promise.resolve({ line: (text) => output.line(text), done: nothing, drop: nothing });
}

const nothing = (): Promise<void> => Promise.resolve();

/**
 * Opens a file that only its owner may read, because messages may be confidential. A file that exists is replaced only
 * once everything is written.
 */
async function openFile(path: string): Promise<Sink> {
  const unfinished = `${path}.${process.pid}.part`;
  const stream = createWriteStream(unfinished, { flags: 'wx', mode: 0o600 });
  const failed = (error: unknown): CommandError =>
    new CommandError(EXIT.failed, `cannot write ${path}: ${String(error)}`, { cause: error });
  let broken: unknown;
  stream.on('error', (error) => (broken = error));
  await once(stream, 'open').catch((error: unknown) => {
    throw failed(error);
  });
  return {
    async line(text) {
      if (broken !== undefined) throw failed(broken);
      if (stream.write(`${text}\n`)) return;
      await once(stream, 'drain').catch((error: unknown) => {
        throw failed(error);
      });
    },
    async done() {
      try {
        stream.end();
        await finished(stream);
        await rename(unfinished, path);
      } catch (error) {
        throw failed(error);
      }
    },
    async drop() {
      stream.destroy();
      await rm(unfinished, { force: true });
    },
  };
}
