import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { htmlFile } from '../../monitor/html-file.js';
import { readExport } from '../../monitor/exports.js';
import { sendText } from '../../monitor/reply.js';
import { CommandError, EXIT } from '../exit.js';
import { Output } from '../print/output.js';
import { plain } from '../print/text.js';
import { portNumber } from '../values.js';
import { serveUntilInterrupted } from './monitor-web.js';

interface Options {
  port: number;
  output?: string;
  json?: boolean;
}

export function addView(program: Command): void {
  program
    .command('view')
    .argument('<file>', 'that `export` has written')
    .description('show the sessions of an export as pictures in the browser, without Redis')
    .option('--port <port>', 'to listen on, on this machine only; 0: a free one', portNumber, 0)
    .option('--output <file>', 'write one HTML file instead, which needs no server')
    .action(async (file: string, _, command: Command) => {
      const { port, output: target, json = false } = command.optsWithGlobals<Options>();
      const html = htmlFile(readExport(await textOf(file)));
      const output = new Output({ json });
      const note = (text: string): void =>
        void process.stderr.write(`mcp-anynode: ${plain(text)}\n`);
      if (target !== undefined) {
        // Messages may be confidential.
        await writeFile(target, html, { mode: 0o600 });
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

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(EXIT.failed, `cannot read ${file}: ${String(error)}`, { cause: error });
  }
}
