import { startNode, type NodeProcess } from '../../test/rig/processes.js';
import type { CallOptions, Load } from '../client/crowd.js';
import type { ElicitOptions } from '../client/elicit.js';
import type { Heard } from '../client/listeners.js';
import type { ResumeOptions } from '../client/resume.js';

/** Sessions that the load generator holds. */
export interface Crowd {
  /** Of the handshakes. */
  opening: Load;
  ids: () => Promise<string[]>;
  call: (options: CallOptions) => Promise<Load>;
  elicit: (options: ElicitOptions) => Promise<Load>;
  /** The first session comes back with a cursor. */
  resume: (options: ResumeOptions) => Promise<Load>;
  /** Opens the GET stream of each session; the nodes at the URLs take turns. */
  listen: (urls: string[]) => Promise<Listeners>;
  /** DELETE of all sessions. */
  end: () => Promise<void>;
}

/** GET streams that the load generator has open. */
export interface Listeners {
  /** Waits for so many messages; those that do not say when they were sent were sent at `since`. */
  heard: (count: number, since?: number) => Promise<Heard>;
  /** The id of the last message. */
  cursor: () => Promise<string>;
  close: () => Promise<void>;
}

/** The load generator, seen from the process that runs the scenarios. */
export class LoadGenerator {
  readonly #process: NodeProcess;

  private constructor(process: NodeProcess) {
    this.#process = process;
  }

  static async start(): Promise<LoadGenerator> {
    const script = new URL('../client/process.ts', import.meta.url);
    return new LoadGenerator(await startNode({ script }));
  }

  /** Opens sessions at a node: handshakes, `concurrency` at a time. */
  async open(url: string, count: number, concurrency = 16): Promise<Crowd> {
    const on = this.#process;
    const params = { url, count, concurrency };
    const { crowd, load } = await on.call<{ crowd: number; load: Load }>('open', params);
    return {
      opening: load,
      ids: () => on.call('ids', { crowd }),
      call: (options) => on.call('call', { crowd, ...options }),
      elicit: (options) => on.call('elicit', { crowd, ...options }),
      resume: (options) => on.call('resume', { crowd, ...options }),
      listen: async (urls) => this.#listeners(await on.call<number>('listen', { crowd, urls })),
      end: () => on.call('end', { crowd, url }),
    };
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  #listeners(of: number): Listeners {
    const on = this.#process;
    return {
      heard: (count, since = 0) => on.call('heard', { of, count, since }),
      cursor: () => on.call('cursor', { of }),
      close: () => on.call('close', { of }),
    };
  }
}
