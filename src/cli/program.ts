import { Command, Option } from 'commander';
import { VERSION } from '../protocol/version.js';
import { addEvents } from './commands/events.js';
import { addExport } from './commands/export.js';
import { addKill } from './commands/kill.js';
import { addMonitor } from './commands/monitor.js';
import { addNodes } from './commands/nodes.js';
import { addServe } from './commands/serve.js';
import { addSession } from './commands/session.js';
import { addSessions } from './commands/sessions.js';
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
  addServe,
];

const MORE = `
Examples:
  mcp-anynode --upstream http://127.0.0.1:9000/mcp --redis redis://localhost:6379 --port 3000
  mcp-anynode sessions --redis redis://localhost:6379
  mcp-anynode events 0b6f2c1e-… --follow

Exit codes:
  0    done
  1    no such session
  2    wrong usage
  3    Redis cannot be reached, or refuses
  4    anything else that failed
  130  interrupted (SIGINT); 143: ended by SIGTERM`;

/** The whole command line. Where commander would end the process, it throws a `CommanderError`. */
export function buildProgram(): Command {
  const program = new Command('mcp-anynode')
    .description(
      'Shows and ends MCP sessions of a cluster. Without a command: lets any node serve the MCP server at a URL.',
    )
    .usage('[command] [options]')
    .version(VERSION, '-V, --version')
    .addOption(
      new Option(
        '--redis <url>',
        'Redis of the nodes; with --cluster or --sentinel, several separated by commas',
      ).env('REDIS_URL'),
    )
    .option('--cluster', 'it is a Redis Cluster')
    .option('--sentinel <name>', 'it is a sentinel, to be asked for the master of this name')
    .option('--prefix <prefix>', 'of keys and channels, as the nodes have it', 'mcp')
    .option('--timeout <ms>', 'how long Redis may take', wholeNumber, 2000)
    .option(
      '--key-file <file>',
      `of nodes that encrypt: <id>=<key> a line, the current one first (env with the lines: ${KEYS_VARIABLE})`,
    )
    .option('--allow-plaintext', 'with keys: also take what was stored in clear')
    .option('--json', 'print JSON: one document, or JSON Lines for lists and streams')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', MORE)
    .exitOverride();
  for (const add of COMMANDS) add(program);
  return program;
}
