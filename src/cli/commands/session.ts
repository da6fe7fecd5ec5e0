import type { Command } from 'commander';
import type { RequestInfo, SessionDetails, StreamInfo } from '../../operator/observer.js';
import type { GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { noSuchSession } from '../exit.js';
import type { Output } from '../print/output.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { bytes, dateTime, duration, pad, plain } from '../print/text.js';
import { clientOf } from './sessions.js';

const STREAMS: Column<StreamInfo>[] = [
  { title: 'STREAM', of: ({ name }) => name },
  { title: 'KIND', of: ({ kind }) => kind },
  { title: 'MESSAGES', of: ({ messages }) => messages },
  { title: 'FOLLOWED ON', of: ({ holder }) => holder?.node },
  { title: 'RUNS ON', of: runsOn },
];

const REQUESTS: Column<RequestInfo>[] = [
  { title: 'REQUEST', of: ({ id }) => JSON.stringify(id), shrinks: true },
  { title: 'STREAM', of: ({ stream }) => stream },
  { title: 'RUNS ON', of: runsOn },
];

function runsOn({ executor, begun }: { executor: string | undefined; begun: boolean }) {
  return executor === undefined || begun ? executor : `${executor} (not begun)`;
}

export function addSession(program: Command): void {
  program
    .command('session')
    .argument('<id>', 'the id of the session')
    .description('show one session: its client, streams, running requests and log')
    .action((id: string, _, command: Command) =>
      withObserver(command.optsWithGlobals<GlobalOptions>(), async ({ observer, output }) => {
        const details = await observer.details(id);
        if (details === undefined) throw noSuchSession(id);
        if (output.json) await output.document(details);
        else await print(details, output);
      }),
    );
}

async function print(details: SessionDetails, output: Output): Promise<void> {
  const { info, leftMs, log, replicas, streams, requests } = details;
  const ago = (at: number): string => `${dateTime(at)} (${duration(Date.now() - at)} ago)`;
  const facts: [string, string | undefined][] = [
    ['session', info.id],
    ['client', clientOf(info)],
    ['capabilities', Object.keys(info.clientCapabilities).join(', ')],
    ['protocol', info.protocolVersion],
    ['state', info.state],
    ['created', ago(info.createdAt)],
    ['used', ago(info.lastSeenAt)],
    ['expires', `in ${duration(leftMs)}, unless it is used`],
    ['owner', info.owner],
    ['log level', info.logLevel],
    ['subscriptions', info.subscriptions.join(', ')],
    ['server objects', replicas.join(', ')],
    ['log', `${log.events} events, ${bytes(log.bytes)}`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) {
    if (value === undefined || value === '') continue;
    await output.line(`${output.style('bold', pad(name, width))}  ${plain(value)}`);
  }
  for (const table of [
    { rows: streams.length, print: () => new Table(STREAMS, output).print(streams) },
    { rows: requests.length, print: () => new Table(REQUESTS, output).print(requests) },
  ]) {
    if (table.rows === 0) continue;
    await output.line('');
    await table.print();
  }
}
