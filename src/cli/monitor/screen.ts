import type { Output } from '../print/output.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
/** `CLEAR_LINE` clears to the end of the line, `CLEAR_REST` to the end of the screen. */
const CLEAR_LINE = '\u001b[K';
const CLEAR_REST = '\u001b[J';

/** The alternate screen of a terminal. Leaving it shows the former content again. That happens however the command ends. */
export class Screen {
  private open = true;

  constructor(private readonly output: Output) {
    // This also leaves the screen after an unexpected error.
    process.once('exit', this.leave);
    process.stdout.write(ENTER);
  }

  /** Writes the lines over the old ones. The screen is not cleared first, so that it does not flicker. */
  async show(lines: string[]): Promise<void> {
    if (!this.open) return;
    const shown = lines.slice(0, this.output.height);
    await this.output.write(`${HOME}${shown.join(`${CLEAR_LINE}\r\n`)}${CLEAR_LINE}${CLEAR_REST}`);
  }

  leave = (): void => {
    if (!this.open) return;
    this.open = false;
    process.removeListener('exit', this.leave);
    process.stdout.write(LEAVE);
  };
}
