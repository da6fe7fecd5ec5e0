import type { SessionStats, Stats } from '../../operator/observer.js';
import type { PageNode } from '../../monitor/wire.js';
import { nodeColumns } from '../commands/nodes.js';
import { clientOf } from '../commands/sessions.js';
import { eventLine } from '../print/event-line.js';
import type { Output } from '../print/output.js';
import type { Column } from '../print/text-table.js';
import { Table } from '../print/text-table.js';
import { bytes, clockTime, counted, cut, duration, plain } from '../print/text.js';

export interface ViewOptions {
  output: Output;
  /** The URL and prefix of the cluster, for the first line. */
  place: string;
  /** The height of the terminal in lines. `undefined`: there is no limit. */
  height?: number | undefined;
  /** The error of the last call. The figures are then those of an earlier call. */
  trouble?: string | undefined;
  /** The nodes that live, and those that have gone lately. */
  nodes: PageNode[];
  /** The id of the selected session. With a height, its row is always among the rows that are shown. */
  selected?: string | undefined;
}

/** The figures have no more nodes than this. With as many, a node that is missing may live. */
const MOST_NODES = 100;

function sessionColumns(
  { at, traffic, nodes, nodesComplete }: Stats,
  selected: string | undefined,
): Column<SessionStats>[] {
  const alive = new Set(nodes.map(({ id }) => id));
  const isKnown = nodesComplete && nodes.length < MOST_NODES;
  const nameOf = (node: string): string => (isKnown && !alive.has(node) ? `${node} (dead)` : node);
  // A screen without colors shows the selection, too.
  const idOf = ({ info: { id } }: SessionStats): string => (id === selected ? `> ${id}` : id);
  return [
    { title: 'SESSION', of: idOf, shrinks: true },
    { title: 'CLIENT', of: ({ info }) => clientOf(info), shrinks: true },
    { title: 'USED', of: ({ info }) => `${duration(at - info.lastSeenAt)} ago` },
    { title: 'STREAMS', of: ({ streams, followed }) => `${followed}/${streams}` },
    { title: 'RUNNING', of: ({ requests }) => requests },
    { title: 'RATE', of: (session) => rateOf(session, traffic?.ms) },
    { title: 'NODES', of: ({ replicas }) => replicas.map(nameOf).join(' '), shrinks: true },
  ];
}

/** A node that has died stays in the list for a while, so that it is seen to have died. */
function stateColumn(at: number): Column<PageNode> {
  return {
    title: 'STATE',
    of: ({ state, goneAt }) =>
      goneAt === undefined
        ? state
        : `${state === 'died' ? 'dead' : state} ${duration(at - goneAt)}`,
  };
}

function rateOf({ bytes: logged }: SessionStats, ms: number | undefined): string | undefined {
  if (logged === undefined || ms === undefined || ms === 0) return undefined;
  return `${bytes((logged * 1000) / ms)}/s`;
}

/** Returns the lines of the view. Each of them fits into the width of the terminal. */
export function viewOf(stats: Stats, options: ViewOptions): string[] {
  const { output, height, trouble, selected } = options;
  const top = [headOf(stats, options), summaryOf(stats, output)];
  if (trouble !== undefined) top.push(output.style('red', fit(plain(trouble), output)));
  const [name, ...columns] = nodeColumns(() => stats.at);
  const nodes = new Table<PageNode>(
    [...(name ? [name] : []), stateColumn(stats.at), ...columns],
    output,
  )
    .lines(options.nodes)
    .map((line, row) =>
      options.nodes[row - 1]?.state === 'died' ? output.style('red', line) : line,
    );
  const at = stats.sessions.findIndex(({ info }) => info.id === selected);
  const sessions = new Table(sessionColumns(stats, selected), output)
    .lines(stats.sessions)
    .map((line, row) => (row === at + 1 && at >= 0 ? output.style('inverse', line) : line));
  const events = (stats.traffic?.events ?? []).map(({ session, event }) =>
    eventLine(event, output, { session }),
  );
  const traffic = events.length === 0 ? [] : [output.style('bold', 'TRAFFIC'), ...events];
  const blocks = [nodes, sessions, traffic];
  const shown = height === undefined ? blocks : share(blocks, height - top.length, at);
  return [...top, ...shown.flatMap((lines) => (lines.length === 0 ? [] : ['', ...lines]))];
}

/** Returns the first line of the screen. */
export function headOf(
  { at }: Stats,
  { output, place, height }: Pick<ViewOptions, 'output' | 'place' | 'height'>,
): string {
  const help = height === undefined ? '' : '  ? for help';
  const text = `mcp-anynode  ${place}  ${clockTime(at).slice(0, 8)}${help}`;
  return output.style('bold', fit(text, output));
}

function summaryOf(stats: Stats, output: Output): string {
  const { listed, sessions, sampled, totals, nodes, nodesComplete, traffic } = stats;
  const parts = [
    `${counted(nodes.length, 'node')}${nodesComplete ? '' : ' (still looking)'}`,
    sampled
      ? `about ${counted(listed, 'session')}, ${sessions.length} looked at`
      : counted(sessions.length, 'session'),
    `${counted(totals.streams, 'stream')}, ${totals.followed} followed`,
    `${totals.requests} running`,
  ];
  if (traffic !== undefined && traffic.ms > 0) {
    const perSecond = (count: number): number => (count * 1000) / traffic.ms;
    const more = traffic.partial ? '≥' : '';
    parts.push(`${more}${perSecond(traffic.count).toFixed(1)} events/s`);
    parts.push(`${bytes(perSecond(traffic.bytes))}/s`);
  }
  return fit(parts.join('  ·  '), output);
}

function fit(text: string, output: Output): string {
  return output.width === undefined ? text : cut(text, output.width);
}

/**
 * Divides the lines of the terminal among the blocks. Nodes get up to a third, traffic up to half of the rest, and sessions
 * the remaining lines. A block that is too long loses its last lines; traffic loses its first ones, which are the oldest.
 */
function share(
  [nodes = [], sessions = [], traffic = []]: string[][],
  height: number,
  selected: number,
): string[][] {
  const room = Math.max(0, height - 3);
  const forNodes = Math.min(nodes.length, Math.max(2, Math.floor(room / 3)));
  const rest = room - forNodes;
  const forSessions = Math.min(
    sessions.length,
    Math.max(2, rest - Math.min(traffic.length, Math.floor(rest / 2))),
  );
  const forTraffic = Math.max(0, rest - forSessions);
  const [title, ...events] = traffic;
  return [
    shorten(nodes, forNodes),
    scrolled(sessions, forSessions, selected),
    title === undefined || forTraffic < 2 ? [] : [title, ...events.slice(-(forTraffic - 1))],
  ];
}

/** Shortens a table to the lines that there are, so that the selected row is among them. */
function scrolled(lines: string[], room: number, selected: number): string[] {
  const [title = '', ...rows] = lines;
  // The title and the line that says how many rows there are more.
  const shown = Math.max(1, room - 2);
  if (lines.length <= room || selected < shown) return shorten(lines, room);
  const from = Math.min(selected - shown + 1, rows.length - shown);
  const left = rows.length - shown;
  return [title, ...rows.slice(from, from + shown), `… ${left} more`].slice(0, Math.max(room, 2));
}

function shorten(lines: string[], room: number): string[] {
  if (lines.length <= room) return lines;
  const kept = Math.max(0, room - 1);
  return [...lines.slice(0, kept), `… ${lines.length - kept} more`];
}
