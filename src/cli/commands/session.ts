import type { Command } from 'commander';
import type { RequestInfo, SessionDetails, StreamInfo } from '../../operator/observer.js';
import type { GlobalOptions } from '../cli-context.js';
import { withObserver } from '../cli-context.js';
import { noSuchSession } from '../exit.js';
import { detailsDocument } from '../print/iso-times.js';
import type { Output } from '../print/output.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { bytes, counted, cut, dateTime, duration, pad, plain } from '../print/text.js';
import { sessionIdOf } from '../session-of.js';
import { clientOf, principalOf } from './sessions.js';

type Name = (node: string | undefined) => string | undefined;

const streamColumns = (named: Name): Column<StreamInfo>[] => [
  { title: 'STREAM', of: ({ name }) => name },
  { title: 'KIND', of: ({ kind }) => kind },
  { title: 'MESSAGES', of: ({ messages }) => messages },
  { title: 'FOLLOWED ON', of: ({ holder }) => named(holder?.node) },
  { title: 'RUNS ON', of: runsOn(named) },
];

const requestColumns = (named: Name): Column<RequestInfo>[] => [
  { title: 'REQUEST', of: ({ id }) => JSON.stringify(id), shrinks: true },
  { title: 'METHOD', of: ({ method }) => method, shrinks: true },
  { title: 'NAME', of: ({ name }) => name, shrinks: true },
  {
    title: 'AGE',
    of: ({ since }) => (since === undefined ? undefined : duration(Date.now() - since)),
  },
  { title: 'RUNS ON', of: runsOn(named) },
  { title: 'STREAM', of: ({ stream }) => stream },
];

function runsOn(named: Name) {
  return ({ executor, begun }: { executor: string | undefined; begun: boolean }) => {
    const node = named(executor);
    return node === undefined || begun ? node : `${node} (not begun)`;
  };
}

export function addSession(program: Command): void {
  program
    .command('session')
    .argument('<id>', 'the id of the session, or its beginning')
    .description('show one session: its client, streams, running requests and log')
    .action((id: string, _, command: Command) =>
      withObserver(command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { observer, output } = context;
        const details = await observer.details(await sessionIdOf(context, id));
        if (details === undefined) throw noSuchSession(id);
        if (output.json) await output.document(detailsDocument(details));
        else for (const line of detailLines(details, output)) await output.line(line);
      }),
    );
}

/** Returns the lines that show one session: its facts, its running requests, and its streams. */
export function detailLines(details: SessionDetails, output: Output): string[] {
  const { info, leftMs, log, replicas, streams, requests, deadNodes } = details;
  const named = (node: string | undefined): string | undefined =>
    node !== undefined && deadNodes.includes(node) ? `${node} (dead)` : node;
  const ago = (at: number): string => `${dateTime(at)} (${duration(Date.now() - at)} ago)`;
  const facts: [string, string | undefined][] = [
    ['session', info.id],
    ['client', clientOf(info)],
    ['principal', principalOf(info) ?? 'anonymous'],
    ['capabilities', Object.keys(info.clientCapabilities).join(', ')],
    ['protocol', info.protocolVersion],
    ['state', info.state],
    ['created', ago(info.createdAt)],
    ['used', ago(info.lastSeenAt)],
    ['expires', `in ${duration(leftMs)}, unless it is used`],
    ['owner', named(info.owner)],
    ['log level', info.logLevel],
    ['subscriptions', info.subscriptions.join(', ')],
    ['server objects', replicas.map(named).join(', ')],
    [
      'errors',
      info.errors === 0 ? undefined : `${counted(info.errors, 'request')} ended with an error`,
    ],
    ['log', `${counted(log.events, 'event')}, ${bytes(log.bytes)}`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const room = output.width === undefined ? Infinity : Math.max(1, output.width - width - 2);
  const lines = facts
    .filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '')
    .map(
      ([name, value]) => `${output.style('bold', pad(name, width))}  ${cut(plain(value), room)}`,
    );
  if (requests.length > 0)
    lines.push('', ...new Table(requestColumns(named), output).lines(requests));
  if (streams.length > 0) lines.push('', ...new Table(streamColumns(named), output).lines(streams));
  return lines;
}
