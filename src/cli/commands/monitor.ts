import { setTimeout as after } from 'node:timers/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Stats } from '../../operator/observer.js';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { CommandError, EXIT, isUnavailable } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { onKeys } from '../monitor/keyboard.js';
import { Screen } from '../monitor/screen.js';
import { viewOf } from '../monitor/view.js';
import { placesOf } from '../cli-redis.js';
import { seconds } from '../values.js';

interface Options extends GlobalOptions {
  once?: boolean;
  interval: number;
}

export function addMonitor(program: Command): void {
  program
    .command('monitor')
    .description('show nodes, sessions and traffic, updated every second; press q to quit')
    .option('--once', 'print the view once and end')
    .addOption(
      new Option('--interval <seconds>', 'the time between two updates')
        .argParser(seconds)
        .default(1000, '1'),
    )
    .action((_, command: Command) => {
      const { once = false, interval, ...options } = command.optsWithGlobals<Options>();
      const place = `${placesOf(options.redis ?? '')}  ${options.prefix}`;
      return withObserver(options, (context) =>
        once ? showOnce(context, place) : watch(context, place, interval),
      );
    });
}

async function showOnce({ observer, output }: Context, place: string): Promise<void> {
  const stats = await observer.stats();
  if (output.json) await output.document(stats);
  else for (const line of viewOf(stats, { output, place })) await output.line(line);
}

async function watch(context: Context, place: string, interval: number): Promise<void> {
  const { observer, output, note } = context;
  // The first call must succeed. Later ones may fail while Redis is away.
  let stats = await observer.stats();
  let trouble: string | undefined;
  const quit = new CommandError(EXIT.ok, '');
  const { signal, abort, release } = interruptible();
  const screen = output.isTerminal && !output.json ? new Screen(output) : undefined;
  const stopKeys =
    screen === undefined
      ? () => undefined
      : onKeys({
          quit: () => abort(quit),
          interrupt: () => abort(new CommandError(EXIT.interrupted, '')),
        });
  const show = (): Promise<void> => print(stats, { ...context, place, screen, trouble });
  const redraw = (): void => void show();
  if (screen !== undefined) process.stdout.on('resize', redraw);
  try {
    for (;;) {
      if (trouble === undefined || screen !== undefined) await show();
      await after(interval, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      try {
        stats = await observer.stats();
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

async function print(
  stats: Stats,
  {
    output,
    place,
    screen,
    trouble,
  }: Context & { place: string; screen: Screen | undefined; trouble: string | undefined },
): Promise<void> {
  if (output.json) return output.document(stats);
  if (screen !== undefined) {
    return screen.show(viewOf(stats, { output, place, height: output.height, trouble }));
  }
  for (const line of [...viewOf(stats, { output, place }), '']) await output.line(line);
}
