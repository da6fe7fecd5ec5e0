import type { Command } from 'commander';
import type { Context, GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { NoSuchSession, noSuchSession } from '../exit.js';
import { plain } from '../print/text.js';
import { sessionIdOf } from '../session-of.js';

export function addKill(program: Command): void {
  program
    .command('kill')
    .argument('<id...>', 'the ids of the sessions, or the beginnings of their ids')
    .description(
      'end sessions on all nodes, as a DELETE of the client does; their clients then get 404',
    )
    .action((texts: string[], _, command: Command) =>
      withObserver(command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { observer, output } = context;
        // If one of the ids is not unique, no session is ended.
        const found: { text: string; id: string | undefined }[] = [];
        for (const text of texts) found.push({ text, id: await idOrMissing(context, text) });
        const missing: string[] = [];
        for (const { text, id } of found) {
          const killed = id !== undefined && (await observer.sessions.delete(id));
          if (!killed) missing.push(text);
          if (output.json) await output.document({ id: id ?? text, killed });
          else if (killed) await output.line(`ended ${plain(id)}`);
        }
        if (missing.length === 0) return;
        throw noSuchSession(missing.join(', '));
      }),
    );
}

async function idOrMissing(context: Context, text: string): Promise<string | undefined> {
  try {
    return await sessionIdOf(context, text);
  } catch (error) {
    if (error instanceof NoSuchSession) return undefined;
    throw error;
  }
}
