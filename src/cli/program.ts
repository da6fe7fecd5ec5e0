import { Command, Option } from 'commander';
import { VERSION } from '../protocol/version.js';
import { addArchive } from './audit/add-archive.js';
import { addErase } from './audit/add-erase.js';
import { addRecords } from './audit/add-records.js';
import { addVerify } from './audit/add-verify.js';
import { addEvents } from './commands/events.js';
import { addExport } from './commands/export.js';
import { addKill } from './commands/kill.js';
import { addMonitor } from './commands/monitor.js';
import { addNodes } from './commands/nodes.js';
import { addServe } from './commands/serve.js';
import { addSession } from './commands/session.js';
import { addSessions } from './commands/sessions.js';
import { addView } from './commands/view.js';
import { KEYS_VARIABLE } from './keys.js';
import { wholeNumber } from './values.js';

const COMMANDS = [
  addNodes,
  addSessions,
  addSession,
  addEvents,
  addExport,
  addKill,
  addMonitor,
  addView,
  addArchive,
  addRecords,
  addVerify,
  addErase,
  addServe,
];

const MORE = `
Examples:
  mcp-anynode --upstream http://127.0.0.1:9000/mcp --redis redis://localhost:6379 --port 3000
  mcp-anynode sessions --redis redis://localhost:6379
  mcp-anynode events 0b6f2c1e-… --follow

Exit codes:
  0    success
  1    there is no such session, or verify has found something
  2    wrong usage
  3    Redis cannot be reached, or refuses the command
  4    another failure
  130  ended by SIGINT
  143  ended by SIGTERM`;

/** Builds the whole command line. It throws a `CommanderError` where commander would end the process. */
export function buildProgram(): Command {
  const program = new Command('mcp-anynode')
    .description('Shows and ends MCP sessions of a cluster. Without a command it runs `serve`.')
    .usage('[command] [options]')
    .version(VERSION, '-V, --version')
    .addOption(
      new Option(
        '--redis <url>',
        'URL of the Redis of the nodes; with --cluster or --sentinel, several URLs separated by commas',
      ).env('REDIS_URL'),
    )
    .option('--cluster', 'the URLs name masters of a Redis Cluster')
    .option('--sentinel <name>', 'the URLs name sentinels, which know the master by this name')
    .option('--prefix <prefix>', 'the prefix of keys and channels that the nodes use', 'mcp')
    .option('--timeout <ms>', 'how long a command waits for Redis', wholeNumber, 2000)
    .option(
      '--key-file <file>',
      `a file with the keys of nodes that encrypt: one <id>=<key> per line, the current one first (env with the same lines: ${KEYS_VARIABLE})`,
    )
    .option('--allow-plaintext', 'with keys: also accept what was stored in clear')
    .option('--json', 'print JSON: one document, or JSON Lines for lists and events')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', MORE)
    .exitOverride();
  for (const add of COMMANDS) add(program);
  return program;
}
