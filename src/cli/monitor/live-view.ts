import type { Observer, SessionDetails, Stats } from '../../operator/observer.js';
import { NodeHistory } from '../../monitor/node-history.js';
import type { PageNode } from '../../monitor/wire.js';
import type { SessionEvent } from '../../options/public-types.js';
import { detailLines } from '../commands/session.js';
import { eventLine } from '../print/event-line.js';
import type { Output } from '../print/output.js';
import { cut, plain } from '../print/text.js';
import type { Key } from './keyboard.js';
import { Navigation } from './navigation.js';
import { headOf, viewOf } from './cluster-view.js';

const HELP = [
  'KEYS',
  '↑ ↓ or k j           select a session, or scroll',
  'PgUp, PgDn or space  a page up or down',
  'Home, End or g G     to the first or last one',
  'Enter                show the selected session',
  'Esc or ←             back to the overview',
  '?                    this help; press it again to close the help',
  'q                    quit',
];

/** How many of the last events of a session are kept for its view. */
const KEPT_EVENTS = 200;

/** The monitor in a terminal: the figures that it shows, and the part of them that the user has chosen with keys. */
export class LiveView {
  private readonly navigation = new Navigation();
  /** The session of the session's view. `gone`: it has ended. `undefined`: it is being read. */
  private details: SessionDetails | 'gone' | undefined;
  private events: SessionEvent[] = [];
  private readonly history = new NodeHistory();
  private nodes: PageNode[];

  constructor(
    private readonly observer: Pick<Observer, 'details'>,
    private readonly output: Output,
    private readonly place: string,
    private stats: Stats,
  ) {
    this.nodes = this.history.take(stats, stats.at);
  }

  /** Takes new figures, and reads the session that is shown. */
  async update(stats: Stats): Promise<void> {
    this.stats = stats;
    this.nodes = this.history.take(stats, stats.at);
    const { view, selected } = this.navigation;
    const news = stats.traffic?.events.filter(({ session }) => session === selected) ?? [];
    this.events = [...this.events, ...news.map(({ event }) => event)].slice(-KEPT_EVENTS);
    if (view === 'session') await this.readSession();
  }

  /** Changes the view. Returns true if a session has to be read for it. */
  press(key: Key): boolean {
    const { navigation } = this;
    const ids = this.stats.sessions.map(({ info }) => info.id);
    const before = { view: navigation.view, selected: navigation.selected };
    navigation.press(key, ids, Math.max(1, Math.floor(this.output.height / 2)));
    if (before.selected !== navigation.selected) this.events = [];
    if (before.view === navigation.view || navigation.view === 'overview') return false;
    this.details = undefined;
    return true;
  }

  async readSession(): Promise<void> {
    const { selected } = this.navigation;
    if (selected === undefined) return;
    const details = (await this.observer.details(selected)) ?? 'gone';
    // The user may have chosen another session meanwhile.
    if (this.navigation.selected === selected) this.details = details;
  }

  /** Returns the lines of the overview, however many there are. */
  allLines(): string[] {
    const { stats, nodes, output, place } = this;
    return viewOf(stats, { output, place, nodes });
  }

  /** Returns the lines of the screen. `trouble`: why the figures are not renewed at the moment. */
  lines(trouble: string | undefined): string[] {
    const { navigation, stats, nodes, output, place } = this;
    const { height } = output;
    if (navigation.showsHelp)
      return [headOf(stats, { output, place, height: output.height }), '', ...this.help()];
    if (navigation.view === 'session') return this.sessionLines(trouble);
    const { selected } = navigation;
    return viewOf(stats, { output, place, height, trouble, nodes, selected });
  }

  private help(): string[] {
    const [title = '', ...keys] = HELP.map((line) => cut(line, this.output.width ?? Infinity));
    return [this.output.style('bold', title), ...keys];
  }

  private sessionLines(trouble: string | undefined): string[] {
    const { navigation, stats, output, place, details, events } = this;
    const top = [headOf(stats, { output, place, height: output.height })];
    const width = output.width ?? Infinity;
    if (trouble !== undefined) top.push(output.style('red', cut(plain(trouble), width)));
    const id = cut(plain(navigation.selected ?? ''), width);
    let body = [`${id}: reading …`];
    if (details === 'gone') body = [`${id} has ended`];
    else if (details !== undefined) body = detailLines(details, output);
    if (events.length > 0) {
      body.push('', output.style('bold', 'TRAFFIC'));
      body.push(...events.map((event) => eventLine(event, output)));
    }
    const room = Math.max(1, output.height - top.length - 1);
    navigation.scroll = Math.min(navigation.scroll, Math.max(0, body.length - room));
    return [...top, '', ...body.slice(navigation.scroll, navigation.scroll + room)];
  }
}
