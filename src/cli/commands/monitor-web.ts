import type { Context } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { interruptible } from '../interrupts.js';
import { MonitorHandler } from '../../monitor/http/handler.js';
import type { LocalPage } from '../../monitor/http/local-page.js';
import { serveLocally } from '../../monitor/http/local-page.js';

/** Options of `monitor` that belong to the page. */
export interface WebOptions {
  web?: boolean;
  port: number;
  allowKill?: boolean;
  payloads?: boolean;
  traceUrl?: string;
  prefix: string;
}

/** Serves the page until the command is interrupted. */
export async function serveWeb(
  { observer, note, output }: Context,
  { port, allowKill, payloads, traceUrl, prefix }: WebOptions,
): Promise<void> {
  const handler = new MonitorHandler(observer, { allowKill, payloads, traceUrl, prefix });
  try {
    await serveUntilInterrupted(port, { note, output }, (req, res) => handler.handle(req, res));
  } finally {
    handler.close();
  }
}

/** Listens on the loopback address and prints the address with the token, until SIGINT or SIGTERM. */
export async function serveUntilInterrupted(
  port: number,
  { note, output }: Pick<Context, 'note' | 'output'>,
  handle: Parameters<typeof serveLocally>[1],
): Promise<void> {
  const { signal, release } = interruptible();
  let page: LocalPage;
  try {
    page = await serveLocally(port, handle);
  } catch (error) {
    release();
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      EXIT.failed,
      `cannot listen on port ${port}: ${reason}`,
      { cause: error },
      ['give another --port; 0 takes a free one'],
    );
  }
  if (output.json) await output.document({ url: page.url });
  else await output.line(page.url);
  note('open this address; it can be opened once, and only on this machine. Ctrl-C ends it');
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await page.close();
  release();
  throw signal.reason;
}
