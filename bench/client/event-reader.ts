export interface SseEvent {
  id: string;
  data: string;
}

/**
 * Splits an event stream into the events that have data. It only knows `\n` as the end of a line, as the measured servers
 * write it.
 */
export class EventReader {
  readonly #onEvent: (event: SseEvent) => void;
  #rest = '';

  constructor(onEvent: (event: SseEvent) => void) {
    this.#onEvent = onEvent;
  }

  push(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      let [id, data] = ['', ''];
      for (const line of block.split('\n')) {
        if (line.startsWith('data: ')) data += line.slice('data: '.length);
        else if (line.startsWith('id: ')) id = line.slice('id: '.length);
      }
      if (data !== '') this.#onEvent({ id, data });
    }
  }
}
