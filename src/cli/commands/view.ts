import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import { htmlFile } from '../../monitor/html-file.js';
import { readExport } from '../../monitor/exports.js';
import { sendText } from '../../monitor/http/reply.js';
import type { OfflineData } from '../../monitor/wire.js';
import type { EventSummary } from '../../timeline/event-summary.js';
import { summaryOf } from '../../timeline/event-summary.js';
import type { ArchivedChoice } from '../audit/from-trail.js';
import { CHAIN, checkChain, FROM, withArchivedSession } from '../audit/from-trail.js';
import { CommandError, EXIT } from '../exit.js';
import { Output } from '../print/output.js';
import { plain } from '../print/text.js';
import { portNumber } from '../values.js';
import { serveUntilInterrupted } from './monitor-web.js';

/** The page is made in the memory of this process, and of the browser. */
const MOST_EVENTS = 100_000;

/** Tells the user what to do if a file is not an export. */
const WRITE_ONE = 'to write such a file: mcp-anynode export <id> --output <file> --redis <url>';

interface Options {
  port: number;
  output?: string;
  json?: boolean;
  from?: string;
}

export function addView(program: Command): void {
  program
    .command('view')
    .argument('<what>', 'a file that `export` has written; with --from, the id of a session')
    .description('show the sessions of an export as pictures in the browser, without Redis')
    .option('--port <port>', 'to listen on, on this machine only; 0: a free one', portNumber, 0)
    .addOption(
      new Option('--output <file>', 'write one HTML file instead, which needs no server').conflicts(
        'port',
      ),
    )
    .option(...FROM)
    .option(...CHAIN)
    .action(async (what: string, _, command: Command) => {
      checkChain(command);
      const options = command.optsWithGlobals<Options & ArchivedChoice>();
      const { port, output: target, json = false, from } = options;
      const output = new Output({ json });
      const note = (text: string): void =>
        void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
      const html = htmlFile(
        from === undefined
          ? sessionsOf(await textOf(what), what)
          : await archivedSession(from, what, options, note),
      );
      if (target !== undefined) {
        // Messages may be confidential.
        await writeFile(target, html, { mode: 0o600 }).catch((error: unknown) => {
          throw new CommandError(EXIT.failed, `cannot write ${target}: ${reasonOf(error)}`);
        });
        note(`written to ${target}`);
        return;
      }
      await serveUntilInterrupted(port, { output, note }, (req, res) => {
        // The policy of the file itself is the stricter one.
        res.removeHeader('Content-Security-Policy');
        if (req.url === '/') sendText(res, 200, 'text/html; charset=utf-8', html);
        else sendText(res, 404, 'text/plain; charset=utf-8', 'There is no such page\n');
        return Promise.resolve();
      });
    });
}

async function archivedSession(
  from: string,
  id: string,
  options: ArchivedChoice,
  note: (text: string) => void,
): Promise<OfflineData> {
  const data: OfflineData = { sessions: [] };
  await withArchivedSession(from, id, options, note, async (sessions, archived) => {
    const events: EventSummary[] = [];
    for await (const event of sessions.events(id, { ...archived, limit: MOST_EVENTS + 1 })) {
      if (events.length < MOST_EVENTS) events.push(summaryOf(event, { messages: true }));
      else note(`the session has more than ${MOST_EVENTS} events: the others are left out`);
    }
    data.sessions.push({ id, info: await sessions.get(id, archived), events });
  });
  return data;
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(EXIT.failed, `cannot read ${file}: ${reasonOf(error)}`, {}, [WRITE_ONE]);
  }
}

function sessionsOf(text: string, file: string): OfflineData {
  try {
    const data = readExport(text);
    if (data.sessions.length > 0) return data;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const what = error.message.replace(/^mcp-anynode: /, '');
    throw new CommandError(EXIT.failed, `cannot read ${file}: ${what}`, {}, [WRITE_ONE]);
  }
  throw new CommandError(EXIT.failed, `cannot read ${file}: it has no session`, {}, [WRITE_ONE]);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
