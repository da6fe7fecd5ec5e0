import type { Command } from 'commander';
import { Option } from 'commander';
import type { GlobalOptions } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { Output } from '../print/output.js';
import { counted } from '../print/text.js';
import { TRAIL, withTrail } from './from-trail.js';

interface Options extends GlobalOptions {
  principal?: string;
  anonymous?: boolean;
  yes?: boolean;
}

export function addErase(program: Command): void {
  program
    .command('erase')
    .argument('<trail>', TRAIL)
    .description(
      'erase the messages of all sessions of one principal in an audit trail; the records stay, and can still be verified',
    )
    .option('--principal <name>', 'the principal')
    .addOption(new Option('--anonymous', 'the sessions without a principal').conflicts('principal'))
    .option('--yes', 'needed, because what is erased cannot be brought back')
    .action((where: string, _, command: Command) => {
      const { principal, anonymous, yes, json } = command.optsWithGlobals<Options>();
      if (principal === undefined && anonymous !== true) {
        throw new CommandError(EXIT.usage, 'whose messages? Give --principal or --anonymous');
      }
      if (yes !== true) {
        throw new CommandError(
          EXIT.usage,
          'messages cannot be brought back: add --yes to erase them',
        );
      }
      const output = new Output({ json: json === true });
      return withTrail(where, async (trail) => {
        const erased = await trail.erase(principal ?? null);
        if (output.json) await output.document({ erased });
        else await output.line(`${counted(erased, 'message')} erased`);
      });
    });
}
