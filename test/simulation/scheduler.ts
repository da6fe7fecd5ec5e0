import type { Random } from './random.js';

/** A process. Its events wait while it is paused, and never happen once it is dead. */
export class Process {
  state: 'running' | 'paused' | 'dead' = 'running';
  readonly held: Event[] = [];

  constructor(readonly name: string) {}
}

interface Event {
  due: number;
  /** Orders events of the same instant. */
  tie: number;
  process: Process | undefined;
  kind: 'timer' | 'io';
  run: () => void;
  cancelled: boolean;
}

const START = 1_800_000_000_000;
/** The distance in time between events that must not overtake each other, in milliseconds. */
const APART = 1e-3;

/**
 * Virtual time. Everything that happens is an event of the scheduler. After each event, Node's microtasks, ticks and
 * immediates run until none is left. Only then does the time go on. There are no real timers and no I/O, so a seed repeats
 * exactly.
 */
export class Scheduler {
  readonly trace: string[] = [];
  steps = 0;
  /** Called after each step. */
  onStep: () => void = () => undefined;
  private time = START;
  private readonly heap: Event[] = [];
  private readonly errors: unknown[] = [];

  constructor(private readonly random: Random) {}

  get now(): number {
    return this.time;
  }

  /** Milliseconds since the beginning of the run. */
  get elapsed(): number {
    return this.time - START;
  }

  note(text: string): void {
    this.trace.push(`${this.elapsed.toFixed(3).padStart(10)} ${text}`);
  }

  /** Calls `run` after `ms`, in a process or outside of all processes. Returns a function that cancels the call. */
  after(ms: number, run: () => void, process?: Process, kind: Event['kind'] = 'io'): () => void {
    if (process?.state === 'dead') return () => undefined;
    const due = this.time + Math.max(ms, 0);
    const event = { due, tie: this.random.next(), process, kind, run, cancelled: false };
    this.push(event);
    return () => (event.cancelled = true);
  }

  /** Returns a function like `after`, whose calls happen in the order in which they were made. */
  channel(process?: Process): (ms: number, run: () => void) => void {
    let last = 0;
    return (ms, run) => {
      last = Math.max(this.time + ms, last + APART);
      this.after(last - this.time, run, process);
    };
  }

  /**
   * Lets a paused process go on. The events that waited happen now, in order. With `timersFirst`, timers come before all
   * others.
   */
  resume(process: Process, timersFirst: boolean): void {
    if (process.state !== 'paused') return;
    process.state = 'running';
    const held = process.held.splice(0);
    const order = timersFirst
      ? [
          ...held.filter(({ kind }) => kind === 'timer'),
          ...held.filter(({ kind }) => kind === 'io'),
        ]
      : held;
    for (const [at, event] of order.entries()) {
      event.due = this.time + at * APART;
      this.push(event);
    }
  }

  /** Runs the events that are due until `elapsed` ms after the beginning. Rejects with the error of an event that threw. */
  async runUntil(elapsed: number, done: () => boolean = () => false): Promise<void> {
    const end = START + elapsed;
    await quiet();
    while (!done()) {
      const [next] = this.heap;
      if (next === undefined || next.due > end) break;
      this.pop();
      if (next.cancelled || next.process?.state === 'dead') continue;
      if (next.process?.state === 'paused') {
        next.process.held.push(next);
        continue;
      }
      this.time = Math.max(this.time, next.due);
      this.steps += 1;
      next.run();
      await quiet();
      this.onStep();
      if (this.errors.length > 0) throw this.errors[0];
    }
    if (!done()) this.time = Math.max(this.time, end);
  }

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Event;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && before(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function before(one: Event, other: Event): boolean {
  return one.due < other.due || (one.due === other.due && one.tie < other.tie);
}

/**
 * Waits for two turns of the event loop. Callbacks that an event passed to `setImmediate`, and all that follows from them,
 * run in between.
 */
async function quiet(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}
