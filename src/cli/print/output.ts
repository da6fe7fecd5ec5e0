import { once } from 'node:events';
import { styleText } from 'node:util';
import { json } from './text.js';

export interface OutputOptions {
  json: boolean;
  stdout?: NodeJS.WriteStream;
  env?: NodeJS.ProcessEnv;
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

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
    // Whether there are colours is known here; the stream may be another one than Node would look at.
    return this.color && text !== '' ? styleText(style, text, { validateStream: false }) : text;
  }
}
