import { startNode, type NodeProcess } from '../../demo/rig/processes.js';
import type { CallOptions, Load } from '../client/crowd.js';

/** Sessions that the load generator holds. */
export interface Crowd {
  /** Of the handshakes. */
  opening: Load;
  call: (options: CallOptions) => Promise<Load>;
  /** DELETE of all sessions. */
  end: () => Promise<void>;
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
      call: (options) => on.call('call', { crowd, ...options }),
      end: () => on.call('end', { crowd, url }),
    };
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
