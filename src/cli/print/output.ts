import { once } from 'node:events';
import { styleText } from 'node:util';
import { json } from './text.js';

export interface OutputOptions {
  json: boolean;
  stdout?: NodeJS.WriteStream;
  env?: NodeJS.ProcessEnv;
}

type Style = 'bold' | 'dim' | 'inverse' | 'red' | 'green' | 'yellow' | 'cyan';

/** The standard output of a command. It waits for a slow reader, so that output does not pile up in memory. */
export class Output {
  readonly json: boolean;
  /** True if the output is a terminal and its user has not turned colors off (https://no-color.org). */
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

  /** The width of the terminal in columns. `undefined` if a program reads the output, which is then not cut. */
  get width(): number | undefined {
    // A terminal that does not know its size reports 0.
    return this.isTerminal ? this.stdout.columns || 80 : undefined;
  }

  get height(): number {
    return (this.isTerminal && this.stdout.rows) || 24;
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`);
  }

  /** Prints one JSON document on a line of its own. */
  async document(value: unknown): Promise<void> {
    await this.line(json(value));
  }

  async write(text: string): Promise<void> {
    // `main.ts` handles the error of a closed pipe, and ends the process.
    if (!this.stdout.write(text)) await once(this.stdout, 'drain');
  }

  style(style: Style, text: string): string {
    // `color` has decided already. Node would decide by its own standard output, which may be another stream.
    return this.color && text !== '' ? styleText(style, text, { validateStream: false }) : text;
  }
}
