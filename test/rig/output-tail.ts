import type { Readable } from 'node:stream';

/** Keeps the last part of the output of a child process, and tells when a text appears in it. */
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

  /** The last 64 Ki characters at most, in the order of their arrival. */
  get text(): string {
    return this.#text;
  }

  /** Resolves as soon as the text matches, which may be at once. Stays pending if it never matches. */
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
