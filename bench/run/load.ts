import { startNode, type NodeProcess } from '../../test/rig/processes.js';
import type { CallOptions, Load } from '../client/crowd.js';
import type { ElicitOptions } from '../client/elicit.js';
import type { Heard } from '../client/listeners.js';
import type { ResumeOptions } from '../client/resume.js';

/** Sessions that the load generator holds. */
export interface Crowd {
  /** The load of the handshakes. */
  opening: Load;
  ids: () => Promise<string[]>;
  call: (options: CallOptions) => Promise<Load>;
  elicit: (options: ElicitOptions) => Promise<Load>;
  /** Lets the first session resume with a cursor. */
  resume: (options: ResumeOptions) => Promise<Load>;
  /** Opens the GET stream of each session, at the URLs in turn. */
  listen: (urls: string[]) => Promise<Listeners>;
  /** Sends DELETE for all sessions. */
  end: () => Promise<void>;
  /** Forgets all sessions. They stay on the server until they expire. */
  forget: () => Promise<void>;
}

/** GET streams that the load generator has open. */
export interface Listeners {
  /** Waits for `count` messages. A message that does not say when it was sent counts from `since`. */
  heard: (count: number, since?: number) => Promise<Heard>;
  /** Returns the id of the last message. */
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
      forget: () => on.call('forget', { crowd }),
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
