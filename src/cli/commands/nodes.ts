import type { Command } from 'commander';
import type { NodeInfo } from '../../operator/observer.js';
import type { GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { nodeDocument } from '../print/iso-times.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { duration } from '../print/text.js';
import { noNodes } from '../session-of.js';

export function nodeColumns(now: () => number): Column<NodeInfo>[] {
  return [
    { title: 'NODE', of: ({ id }) => id },
    { title: 'LEASE', of: ({ leaseLeftMs }) => duration(leaseLeftMs) },
    {
      title: 'UP',
      of: ({ startedAt }) => (startedAt === undefined ? undefined : duration(now() - startedAt)),
    },
    { title: 'HOST', of: ({ host }) => host, shrinks: true },
    { title: 'PID', of: ({ pid }) => pid },
    { title: 'VERSION', of: ({ version }) => version },
  ];
}

export function addNodes(program: Command): void {
  program
    .command('nodes')
    .description('list the nodes that are alive, with the time that their leases have left')
    .action((_, command: Command) =>
      withObserver(
        command.optsWithGlobals<GlobalOptions>(),
        async ({ observer, output, prefix }) => {
          const nodes = await observer.nodes();
          if (nodes.length === 0) throw noNodes(prefix);
          if (output.json) for (const node of nodes) await output.document(nodeDocument(node));
          else await new Table(nodeColumns(Date.now), output).print(nodes);
        },
      ),
    );
}
