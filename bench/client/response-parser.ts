/** Called while a response comes in. */
export interface ResponseEvents {
  onHead: (status: number, head: string) => void;
  /** A piece of the body, without the framing of chunks. */
  onText: (text: string) => void;
  onEnd: () => void;
}

type State = 'head' | 'sized' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer';

const END_OF_HEAD = '\r\n\r\n';

/**
 * Finds the ends of HTTP/1.1 responses on one connection. It supports only what the measured servers send:
 * `Content-Length`, chunks, and statuses without a body. Node's own client takes several times as much CPU, which on a
 * small machine would distort the figures of the server.
 *
 * It takes texts in which each character is one byte (`latin1`). They may be cut anywhere.
 */
export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'head';
  #rest = '';
  /** How many bytes of the present body or chunk are missing. */
  #missing = 0;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  push(text: string): void {
    this.#rest = this.#rest === '' ? text : this.#rest + text;
    while (this.#rest !== '' && this.#step());
  }

  /** Takes one step. Returns false if it needs more data for the next one. */
  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#head();
      case 'sized':
      case 'chunk':
        return this.#body();
      default:
        return this.#line();
    }
  }

  #head(): boolean {
    const end = this.#rest.indexOf(END_OF_HEAD);
    if (end < 0) return false;
    const head = this.#take(end + END_OF_HEAD.length);
    const status = Number(head.slice(9, 12));
    if (!head.startsWith('HTTP/1.1 ') || Number.isNaN(status)) {
      throw new Error(`Not a response: ${head.slice(0, 80)}`);
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    const chunked = length === null && /\r\ntransfer-encoding: *chunked/i.test(head);
    this.#missing = Number(length?.[1] ?? 0);
    this.#events.onHead(status, head);
    if (chunked) this.#state = 'chunk-size';
    else if (this.#missing > 0) this.#state = 'sized';
    else this.#end();
    return true;
  }

  #body(): boolean {
    const text = this.#take(Math.min(this.#missing, this.#rest.length));
    this.#missing -= text.length;
    this.#events.onText(text);
    if (this.#missing === 0) {
      if (this.#state === 'sized') this.#end();
      else this.#state = 'chunk-end';
    }
    return true;
  }

  #line(): boolean {
    const end = this.#rest.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#take(end + 2);
    if (this.#state === 'chunk-end') {
      this.#state = 'chunk-size';
    } else if (this.#state === 'chunk-size') {
      this.#missing = Number.parseInt(line, 16);
      if (Number.isNaN(this.#missing)) throw new Error(`Not the size of a chunk: ${line}`);
      this.#state = this.#missing === 0 ? 'trailer' : 'chunk';
    } else if (line === '\r\n') {
      this.#end();
    }
    return true;
  }

  #end(): void {
    this.#state = 'head';
    this.#events.onEnd();
  }

  #take(length: number): string {
    const text = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return text;
  }
}
