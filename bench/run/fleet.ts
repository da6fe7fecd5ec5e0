import { startNode, type NodeProcess } from '../../test/rig/processes.js';
import type { NodeSettings } from '../server/contestants.js';
import type { NodeBinary } from './node-binary.js';

export interface FleetOptions {
  redisUrl: string;
  /** What runs the servers. */
  node: NodeBinary;
  /** What runs the servers with the setting `beside`. */
  beside: NodeBinary | undefined;
}

/** Room for all that is allocated between two readings, so that V8 collects nothing meanwhile. */
const WITHOUT_COLLECTIONS = ['--min-semi-space-size=256', '--max-semi-space-size=256'];

/** The servers of a run. A server that several scenarios use is started once. An idle server takes almost no CPU time. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #shared = new Map<string, Promise<NodeProcess>>();
  readonly #links = new Map<number, Promise<NodeProcess>>();

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** What runs the servers. */
  get node(): NodeBinary {
    return this.#options.node;
  }

  /** What runs the servers with the setting `beside`, if there is such a program. */
  get beside(): NodeBinary | undefined {
    return this.#options.beside;
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

  async stop(): Promise<void> {
    await stopAll([...this.#shared.values()]);
    await stopAll([...this.#links.values()]);
  }

  async #start(settings: NodeSettings): Promise<NodeProcess> {
    const { node, beside } = this.#options;
    const { roundTripMs, counted = false } = settings;
    return startNode({
      script: new URL('../server/node.ts', import.meta.url),
      execPath: ((settings.beside === true ? beside : undefined) ?? node).path,
      execArgv: ['--expose-gc', ...(counted ? WITHOUT_COLLECTIONS : [])],
      env: {
        REDIS_URL:
          roundTripMs === undefined ? this.#options.redisUrl : await this.#link(roundTripMs),
        SETTINGS: JSON.stringify(settings),
      },
    });
  }

  /** Returns the URL of Redis behind a network with this time for a round trip. */
  async #link(roundTripMs: number): Promise<string> {
    const running = this.#links.get(roundTripMs) ?? this.#startLink(roundTripMs);
    this.#links.set(roundTripMs, running);
    return `redis://127.0.0.1:${(await running).port}`;
  }

  #startLink(roundTripMs: number): Promise<NodeProcess> {
    const env = { REDIS_URL: this.#options.redisUrl, ROUND_TRIP_MS: `${roundTripMs}` };
    return startNode({ script: new URL('slow-link.ts', import.meta.url), env });
  }
}

/**
 * Stops the nodes. A node that could not be started is ignored, because that error was reported where the node was awaited.
 */
async function stopAll(starting: Promise<NodeProcess>[]): Promise<void> {
  await Promise.all(starting.map((node) => node.then(({ stop }) => stop()).catch(() => undefined)));
}
