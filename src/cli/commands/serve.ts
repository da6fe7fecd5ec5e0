import type { Command } from 'commander';
import { Option } from 'commander';
import type { GatewayOptions } from '../gateway.js';
import { startGateway } from '../gateway.js';
import type { TelemetryFlags } from '../gateway-telemetry.js';
import { gatewayTelemetry } from '../gateway-telemetry.js';
import type { GlobalOptions } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { codecOf } from '../keys.js';
import { Output } from '../print/output.js';
import { redisOf } from '../cli-redis.js';
import { plain } from '../print/text.js';
import {
  httpUrl,
  listOf,
  metricsPort,
  portNumber,
  principalHeader,
  seconds,
  urlPath,
} from '../values.js';

type Options = GlobalOptions &
  TelemetryFlags &
  Omit<GatewayOptions, 'upstream' | 'redis' | 'codec' | 'telemetry'> & { upstream?: string };

export function addServe(program: Command): void {
  program
    .command('serve', { isDefault: true })
    .description(
      'run a node in front of the MCP server at a URL, so that any node can serve its sessions; this is the default command',
    )
    .option(
      '--upstream <url>',
      'the URL of the MCP server (Streamable HTTP), in any language; required',
    )
    .option('--port <port>', 'the port to listen on; 0 picks a free one', portNumber, 3000)
    .option('--host <address>', 'the address to listen on; 0.0.0.0 for all addresses', '127.0.0.1')
    .option('--path <path>', 'the path of the endpoint', urlPath, '/mcp')
    .option(
      '--allowed-hosts <hosts>',
      'values of the Host header that are accepted, separated by commas',
      listOf,
    )
    .option(
      '--allowed-origins <origins>',
      'values of the Origin header that are accepted, separated by commas',
      listOf,
    )
    .addOption(
      new Option(
        '--affinity <which>',
        'owner: all requests of a session go through one node at a time',
      )
        .choices(['any', 'owner'])
        .default('any'),
    )
    .addOption(
      new Option(
        '--upstream-timeout <seconds>',
        'how long to wait for a connection to the server, and for its answer to a message that is no request',
      )
        .argParser(seconds)
        .default(10_000, '10'),
    )
    .option(
      '--upstream-check <path>',
      '/ready answers 503 unless a GET of this path of the server is answered with 2xx; by default, unless a connection can be made',
      urlPath,
    )
    .option('--no-upstream-check', '/ready does not depend on the server')
    .option('--no-upstream-query', 'do not pass the query of a client on to the server')
    .option(
      '--principal-header <name>',
      'the header that names the caller; the proxy in front must always set it itself',
      principalHeader,
    )
    .option('--trust-proxy', 'a proxy is in front, and it checks the Host header')
    .option(
      '--decrypt-only',
      'store in clear, and decrypt what other nodes encrypt; needs keys and --allow-plaintext',
    )
    .addOption(
      new Option('--drain <seconds>', 'how long running calls may take when the node ends')
        .argParser(seconds)
        .default(10_000, '10'),
    )
    .option(
      '--metrics <port>',
      'the port of this address on which /metrics serves metrics for Prometheus',
      metricsPort,
    )
    .option(
      '--otlp <url>',
      'the URL to which spans and metrics are sent by OTLP over HTTP',
      httpUrl,
    )
    .option(
      '--audit <trail>',
      'keep an audit trail: in a directory, or at a URL such as postgres://user@host/database',
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
    throw new CommandError(
      EXIT.usage,
      'the option --upstream is missing: give --upstream URL, or another command; see mcp-anynode --help',
    );
  }
  const output = new Output({ json: options.json === true });
  const { signal, release } = interruptible();
  const [redis, codec] = [redisOf(options), codecOf(options)];
  const observed = await gatewayTelemetry(options, options.host);
  const { telemetry, metricsUrl } = observed ?? {};
  const gateway = await startGateway({ ...options, upstream, redis, codec, telemetry }).catch(
    async (error: unknown) => {
      await observed?.close();
      throw error;
    },
  );
  const { url, nodeId } = gateway;
  if (output.json) {
    const metrics = metricsUrl === undefined ? {} : { metrics: metricsUrl };
    await output.document({ listening: url, node: nodeId, ...metrics });
  } else {
    await output.line(`node ${nodeId} listens on ${plain(url)}`);
    if (metricsUrl !== undefined) await output.line(`metrics at ${metricsUrl}`);
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await gateway.close();
  await observed?.close();
  release();
  // SIGTERM is the normal way to end a node, so its exit code is 0.
  if (signal.reason instanceof CommandError && signal.reason.exitCode !== EXIT.terminated) {
    throw signal.reason;
  }
}
