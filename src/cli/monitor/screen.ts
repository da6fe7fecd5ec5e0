import type { Output } from '../print/output.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
/** To the end of the line, to the end of the screen. */
const CLEAR_LINE = '\u001b[K';
const CLEAR_REST = '\u001b[J';

/** A terminal's other screen: what was there before comes back, however the command ends. */
export class Screen {
  private open = true;

  constructor(private readonly output: Output) {
    // The last resort: an error that nobody expected.
    process.once('exit', this.leave);
    process.stdout.write(ENTER);
  }

  /** Line by line over what was there, so that nothing flickers. */
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
