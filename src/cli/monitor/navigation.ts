import type { Key } from './keyboard.js';

/** Remembers what the monitor shows, and changes it with the keys. */
export class Navigation {
  /** `overview` shows the cluster, and `session` the selected session. */
  view: 'overview' | 'session' = 'overview';
  /** True while the help covers the view. */
  showsHelp = false;
  /** The id of the selected session. It stays selected when the order of the sessions changes. */
  selected: string | undefined;
  /** How many lines of the session's view are above the screen. */
  scroll = 0;

  /** Changes the view. `ids` are those of the sessions in their order, and `page` is the number of lines of a page. */
  press(key: Key, ids: string[], page: number): void {
    if (this.showsHelp) {
      this.showsHelp = false;
      return;
    }
    switch (key) {
      case 'help':
        this.showsHelp = true;
        break;
      case 'enter':
        if (this.view === 'overview' && this.selected !== undefined) this.view = 'session';
        this.scroll = 0;
        break;
      case 'escape':
        if (this.view === 'overview') this.selected = undefined;
        this.view = 'overview';
        break;
      default:
        if (this.view === 'session') this.scroll = Math.max(0, this.scroll + stepOf(key, page));
        else this.select(stepOf(key, page), ids);
    }
  }

  private select(step: number, ids: string[]): void {
    const at = this.selected === undefined ? -1 : ids.indexOf(this.selected);
    // The first key selects the first session. A session that has left the list is selected no more.
    const next = at < 0 && Number.isFinite(step) ? 0 : at + step;
    this.selected = ids[Math.min(Math.max(next, 0), ids.length - 1)];
  }
}

function stepOf(key: Key, page: number): number {
  switch (key) {
    case 'up':
      return -1;
    case 'down':
      return 1;
    case 'pageUp':
      return -page;
    case 'pageDown':
      return page;
    case 'home':
      return -Infinity;
    case 'end':
      return Infinity;
    default:
      return 0;
  }
}
