import type { Socket } from 'node:net';

export interface FlowState {
  stalled: boolean;
  muted: boolean;
  delayMs: number;
}

/** One direction of a proxied connection. Data that are read from one socket are written to the other, in order. */
export class Flow {
  /** Called with the data as they come in, before they are forwarded. */
  onData: ((data: Buffer) => void) | undefined;
  readonly #state: FlowState = { stalled: false, muted: false, delayMs: 0 };
  readonly #queue: { data: Buffer | 'end'; due: number }[] = [];
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
  ) {
    from.on('data', (data) => {
      this.onData?.(data);
      this.#enqueue(data);
    });
    from.on('end', () => this.end());
    to.on('drain', () => this.#flush());
    to.once('close', () => clearTimeout(this.#timer));
  }

  set(state: Partial<FlowState>): void {
    Object.assign(this.#state, state);
    this.#flush();
  }

  /** Ends the connection to the receiver after the data that have come in so far. Later data are dropped. */
  end(): void {
    this.#enqueue('end');
  }

  #enqueue(data: Buffer | 'end'): void {
    if (this.#ended) return;
    this.#ended = data === 'end';
    this.#queue.push({ data, due: performance.now() + this.#state.delayMs });
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    while (!this.#state.stalled && !this.to.writableNeedDrain) {
      const [head] = this.#queue;
      if (head === undefined) break;
      const wait = head.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#flush(), Math.ceil(wait)).unref();
        break;
      }
      this.#queue.shift();
      if (head.data === 'end') this.to.end();
      else if (!this.#state.muted) this.to.write(head.data);
    }
    // Unread data stay in the sender's socket, so that the sender notices that the network takes nothing.
    if (this.#state.stalled || this.to.writableNeedDrain) this.from.pause();
    else this.from.resume();
  }
}
