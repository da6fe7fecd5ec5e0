import type { Command } from 'commander';
import type { TrailProblem, Verification } from '../../audit/verifying/verify-trail.js';
import { verifyTrail } from '../../audit/verifying/verify-trail.js';
import type { GlobalOptions } from '../cli-context.js';
import { CommandError, EXIT } from '../exit.js';
import { codecOf } from '../keys.js';
import { Output } from '../print/output.js';
import { counted, plain } from '../print/text.js';
import { TRAIL, withTrail } from './from-trail.js';

/** How many problems are printed. The others are counted. */
const MOST_LINES = 1000;

export function addVerify(program: Command): void {
  program
    .command('verify')
    .argument('<trail>', TRAIL)
    .description(
      'say which records of an audit trail are missing or were changed; exits with 1 if any',
    )
    .action((where: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const output = new Output({ json: options.json === true });
      const codec = codecOf(options);
      return withTrail(where, async (trail) => {
        const found: TrailProblem[] = [];
        const onProblem = (problem: TrailProblem): void => {
          if (found.length < MOST_LINES) found.push(problem);
        };
        const result = await verifyTrail(trail, { codec, onProblem });
        if (output.json) await output.document({ ...result, found });
        else await print(output, result, found);
        if (result.problems === 0) return;
        throw new CommandError(EXIT.notFound, `${counted(result.problems, 'problem')} found`);
      });
    });
}

async function print(
  output: Output,
  { records, chains, open, erased, unchecked, branches, dropped, earlier }: Verification,
  found: TrailProblem[],
): Promise<void> {
  for (const { text } of found) await output.line(output.style('red', plain(text)));
  const lines = [
    `${counted(records, 'record')} of ${counted(chains, 'session')}, ${open} without an end`,
    ...(earlier > 0
      ? [`${counted(earlier, 'record')} before the first one, not in the trail`]
      : []),
    ...(erased > 0 ? [`${counted(erased, 'message')} erased`] : []),
    ...(unchecked > 0 ? [`${counted(unchecked, 'message')} not checked: they are encrypted`] : []),
    ...(dropped > 0 ? [`${dropped} entries were left out while the outbox was full`] : []),
    ...(branches > 0 ? [`${branches} times, records follow the same one, after a failover`] : []),
  ];
  for (const line of lines) await output.line(line);
  if (found.length === 0) await output.line(output.style('green', 'nothing is missing or changed'));
}
