import { once } from 'node:events';
import { json } from './text.js';

export interface OutputOptions {
  json: boolean;
  stdout?: NodeJS.WriteStream;
  env?: NodeJS.ProcessEnv;
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const CODES: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Where a command prints. It waits for whoever reads, so that nothing piles up in memory. */
export class Output {
  readonly json: boolean;
  /** Colours, for a terminal whose user has not said no (https://no-color.org). */
  readonly color: boolean;
  readonly isTerminal: boolean;
  private readonly stdout: NodeJS.WriteStream;

  constructor(options: OutputOptions) {
    const { stdout = process.stdout, env = process.env } = options;
    this.json = options.json;
    this.stdout = stdout;
    this.isTerminal = stdout.isTTY;
    this.color =
      this.isTerminal && !options.json && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  }

  /** Columns of the terminal; none elsewhere: what is read by a program is not cut off. */
  get width(): number | undefined {
    // A terminal that does not know its size says 0.
    return this.isTerminal ? this.stdout.columns || 80 : undefined;
  }

  get height(): number {
    return (this.isTerminal && this.stdout.rows) || 24;
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`);
  }

  /** One document, on a line of its own. */
  async document(value: unknown): Promise<void> {
    await this.line(json(value));
  }

  async write(text: string): Promise<void> {
    // A pipe that is closed ends the process where its error is heard.
    if (!this.stdout.write(text)) await once(this.stdout, 'drain');
  }

  style(style: Style, text: string): string {
    if (!this.color || text === '') return text;
    const [on, off] = CODES[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }
}
