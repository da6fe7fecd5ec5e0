import type { Command } from 'commander';
import type { GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { noSuchSession } from '../exit.js';
import { plain } from '../print/text.js';

export function addKill(program: Command): void {
  program
    .command('kill')
    .argument('<id...>', 'the ids of the sessions')
    .description(
      'end sessions on all nodes, as a DELETE of the client does; their clients then get 404',
    )
    .action((ids: string[], _, command: Command) =>
      withObserver(command.optsWithGlobals<GlobalOptions>(), async ({ observer, output }) => {
        const missing: string[] = [];
        for (const id of ids) {
          const killed = await observer.sessions.delete(id);
          if (!killed) missing.push(id);
          if (output.json) await output.document({ id, killed });
          else if (killed) await output.line(`ended ${plain(id)}`);
        }
        if (missing.length === 0) return;
        throw noSuchSession(missing.join(', '));
      }),
    );
}
