import type { Readable } from 'node:stream';

/** Keeps the last part of what a child process writes, and tells when a text appears in it. */
export class OutputTail {
  #text = '';
  readonly #waiting = new Set<() => void>();

  constructor(...streams: readonly (Readable | null)[]) {
    for (const stream of streams) {
      stream?.setEncoding('utf8');
      stream?.on('data', (chunk: string) => {
        this.#text = (this.#text + chunk).slice(-65_536);
        for (const check of this.#waiting) check();
      });
    }
  }

  /** At most the last 64 Ki characters, in the order of their arrival. */
  get text(): string {
    return this.#text;
  }

  /** Resolves as soon as the text matches, at once if it does already. Stays pending if it never does. */
  includes(pattern: RegExp): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!pattern.test(this.#text)) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}
