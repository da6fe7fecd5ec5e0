import { setTimeout as after } from 'node:timers/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Stats } from '../../operator/observer.js';
import { NodeHistory } from '../../monitor/node-history.js';
import type { PageNode } from '../../monitor/wire.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { CommandError, EXIT, isUnavailable } from '../exit.js';
import { interruptible } from '../interrupts.js';
import type { Key } from '../monitor/keyboard.js';
import { onKeys } from '../monitor/keyboard.js';
import { LiveView } from '../monitor/live-view.js';
import { Screen } from '../monitor/screen.js';
import { viewOf } from '../monitor/cluster-view.js';
import { noNodes } from '../session-of.js';
import { placesOf } from '../cli-redis.js';
import { portNumber, traceUrl, refuseWithout, seconds } from '../values.js';
import type { WebOptions } from './monitor-web.js';
import { serveWeb } from './monitor-web.js';

interface Options extends GlobalOptions, WebOptions {
  once?: boolean;
  interval: number;
}

export function addMonitor(program: Command): void {
  program
    .command('monitor')
    .description(
      'show nodes, sessions and traffic, updated every second; press ? for the keys, q to quit',
    )
    .addOption(new Option('--once', 'print the view once and end').conflicts(['web', 'interval']))
    .addOption(
      new Option('--interval <seconds>', 'the time between two updates')
        .argParser(seconds)
        .default(1000, '1')
        .conflicts('web'),
    )
    .option('--web', 'serve a page for the browser, on this machine only, instead')
    .option('--port <port>', 'with --web: to listen on; 0: a free one', portNumber, 7070)
    .option('--allow-kill', 'with --web: the page may end sessions')
    .option('--payloads', 'with --web: the page shows the content of messages, as it is stored')
    .option(
      '--trace-url <url>',
      'with --web: where traces are shown, with {traceId} for the id',
      traceUrl,
    )
    .action((_, command: Command) => {
      refuseWithout('web', ['port', 'allowKill', 'payloads', 'traceUrl'], command);
      const { once = false, interval, ...options } = command.optsWithGlobals<Options>();
      return withObserver(options, (context) => {
        if (options.web === true) return showPage(context, options);
        const place = `${placesOf(options.redis ?? '')}  ${options.prefix}`;
        return once ? showOnce(context, place) : watch(context, place, interval);
      });
    });
}

async function showPage(context: Context, options: WebOptions): Promise<void> {
  requireSome(await context.observer.stats(), context.prefix);
  await serveWeb(context, options);
}

async function showOnce({ observer, output, prefix }: Context, place: string): Promise<void> {
  const stats = await observer.stats();
  requireSome(stats, prefix);
  if (output.json) await output.document(stats);
  else
    for (const line of viewOf(stats, { output, place, nodes: nodesOf(stats) }))
      await output.line(line);
}

function nodesOf(stats: Stats): PageNode[] {
  return new NodeHistory().take(stats, stats.at);
}

/** Throws if there is neither a node nor a session. The prefix is then most likely wrong. */
function requireSome({ nodes, nodesComplete, listed }: Stats, prefix: string): void {
  if (nodes.length === 0 && nodesComplete && listed === 0) throw noNodes(prefix);
}

async function watch(context: Context, place: string, interval: number): Promise<void> {
  const { observer, output, note, prefix } = context;
  // The first call must succeed. Later ones may fail while Redis is away.
  let stats = await observer.stats();
  requireSome(stats, prefix);
  let trouble: string | undefined;
  const quit = new CommandError(EXIT.ok, '');
  const { signal, abort, release } = interruptible();
  const screen = output.isTerminal && !output.json ? new Screen(output) : undefined;
  const view = new LiveView(observer, output, place, stats);
  const show = async (): Promise<void> => {
    if (screen !== undefined) await screen.show(view.lines(trouble));
    else if (output.json) await output.document(stats);
    else for (const line of [...view.allLines(), '']) await output.line(line);
  };
  const redraw = (): void => void show();
  const press = (key: Key): void => {
    if (key === 'interrupt') abort(new CommandError(EXIT.interrupted, ''));
    else if (key === 'quit') abort(quit);
    // The next update says what is wrong if this fails.
    else if (view.press(key)) void view.readSession().then(redraw, () => undefined);
    redraw();
  };
  const stopKeys = screen === undefined ? () => undefined : onKeys(press);
  if (screen !== undefined) process.stdout.on('resize', redraw);
  try {
    for (;;) {
      if (trouble === undefined || screen !== undefined) await show();
      await after(interval, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      try {
        stats = await observer.stats();
        await view.update(stats);
        trouble = undefined;
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        if (trouble === undefined && screen === undefined) note(String(error));
        trouble = error instanceof Error ? error.message : String(error);
      }
    }
  } finally {
    process.stdout.removeListener('resize', redraw);
    stopKeys();
    screen?.leave();
    release();
  }
  if (signal.reason !== quit) throw signal.reason;
}
