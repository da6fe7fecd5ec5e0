import type { Command } from 'commander';
import { Option } from 'commander';
import type { GatewayOptions } from '../gateway.js';
import { startGateway } from '../gateway.js';
import type { GlobalOptions } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { codecOf } from '../keys.js';
import { Output } from '../print/output.js';
import { redisOf } from '../cli-redis.js';
import { plain } from '../print/text.js';
import { listOf, portNumber, principalHeader, seconds, urlPath } from '../values.js';

type Options = GlobalOptions &
  Omit<GatewayOptions, 'upstream' | 'redis' | 'codec'> & { upstream?: string };

export function addServe(program: Command): void {
  program
    .command('serve', { isDefault: true })
    .description(
      'lets any node serve the MCP server at a URL; this is what happens without a command',
    )
    .option('--upstream <url>', 'of the MCP server (Streamable HTTP), in any language; required')
    .option('--port <port>', 'to listen on; 0: a free one', portNumber, 3000)
    .option('--host <address>', 'to listen on; 0.0.0.0 for all', '127.0.0.1')
    .option('--path <path>', 'of the endpoint', urlPath, '/mcp')
    .option('--allowed-hosts <hosts>', 'values of Host that are let in, with commas', listOf)
    .option('--allowed-origins <origins>', 'values of Origin that are let in, with commas', listOf)
    .addOption(
      new Option('--affinity <which>', 'owner: a session has one server behind at a time')
        .choices(['any', 'owner'])
        .default('any'),
    )
    .addOption(
      new Option(
        '--upstream-timeout <seconds>',
        'how long the server may take to be reached, and to take what asks for nothing',
      )
        .argParser(seconds)
        .default(10_000, '10'),
    )
    .option(
      '--upstream-check <path>',
      'GET there has to be answered with 2xx, or /ready says 503; without it, a connection has to come about',
      urlPath,
    )
    .option('--no-upstream-check', '/ready does not depend on the server')
    .option('--no-upstream-query', 'the query of a client does not go along to the server')
    .option(
      '--principal-header <name>',
      'says who is calling; what is in front must set it, whatever the client sends',
      principalHeader,
    )
    .option('--trust-proxy', 'a proxy is in front, and checks Host')
    .option('--decrypt-only', 'nothing is encrypted yet; needs keys and --allow-plaintext')
    .addOption(
      new Option('--drain <seconds>', 'how long running calls may take when it ends')
        .argParser(seconds)
        .default(10_000, '10'),
    )
    .allowExcessArguments()
    .action((_, command: Command) => {
      const [unknown] = command.args;
      if (unknown !== undefined) {
        throw new CommandError(
          EXIT.usage,
          `there is no command ${unknown}; see mcp-anynode --help`,
        );
      }
      return serve(command.optsWithGlobals<Options>());
    });
}

async function serve({ upstream, ...options }: Options): Promise<void> {
  if (upstream === undefined) {
    throw new CommandError(EXIT.usage, 'give a command, or --upstream URL; see mcp-anynode --help');
  }
  const output = new Output({ json: options.json === true });
  const { signal, release } = interruptible();
  const [redis, codec] = [redisOf(options), codecOf(options)];
  const gateway = await startGateway({ ...options, upstream, redis, codec });
  const { url, nodeId } = gateway;
  if (output.json) await output.document({ listening: url, node: nodeId });
  else await output.line(`node ${nodeId} listens on ${plain(url)}`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await gateway.close();
  release();
  // Ending on SIGTERM is what was asked for.
  if (signal.reason instanceof CommandError && signal.reason.exitCode !== EXIT.terminated) {
    throw signal.reason;
  }
}
