import { startNode, type NodeProcess } from '../../test/rig/processes.js';
import type { NodeSettings } from '../server/contestants.js';

/** The servers of a run. A server that several scenarios use is started once. An idle server takes almost no CPU time. */
export class Fleet {
  readonly #redisUrl: string;
  readonly #shared = new Map<string, Promise<NodeProcess>>();

  constructor(redisUrl: string) {
    this.#redisUrl = redisUrl;
  }

  /** Returns the node with these settings, and starts it if needed. `at` distinguishes nodes of one cluster. */
  shared(settings: NodeSettings, at = 0): Promise<NodeProcess> {
    const key = JSON.stringify([settings, at]);
    const running = this.#shared.get(key) ?? this.#start(settings);
    this.#shared.set(key, running);
    return running;
  }

  /** Starts one node for each of the settings, for this use only. */
  async with<S extends NodeSettings[], T>(
    settings: readonly [...S],
    use: (nodes: { [At in keyof S]: NodeProcess }) => Promise<T>,
  ): Promise<T> {
    const starting = settings.map((each) => this.#start(each));
    try {
      return await use((await Promise.all(starting)) as { [At in keyof S]: NodeProcess });
    } finally {
      await stopAll(starting);
    }
  }

  stop(): Promise<void> {
    return stopAll([...this.#shared.values()]);
  }

  #start(settings: NodeSettings): Promise<NodeProcess> {
    return startNode({
      script: new URL('../server/node.ts', import.meta.url),
      env: {
        REDIS_URL: this.#redisUrl,
        SETTINGS: JSON.stringify(settings),
        NODE_OPTIONS: '--expose-gc',
      },
    });
  }
}

/**
 * Stops the nodes. A node that could not be started is ignored, because that error was reported where the node was awaited.
 */
async function stopAll(starting: Promise<NodeProcess>[]): Promise<void> {
  await Promise.all(starting.map((node) => node.then(({ stop }) => stop()).catch(() => undefined)));
}
