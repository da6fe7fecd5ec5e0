import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { startNode, type NodeProcess } from '../rig/processes.js';
import type { Random } from '../cluster/support/random.js';
import { startLateProxy, type LateProxy } from '../support/late-proxy.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import type { Balancer } from './balancer.js';
import type { Sabotage } from './sabotage.js';
import type { Store } from './store.js';

export interface FleetOptions {
  nodes: number;
  redis: { port: number; url: string };
  /** The URL of another Redis, for the records. No fault reaches it. */
  recordsUrl: string;
  /**
   * The store of the nodes, which they reach without proxies. Left out: `redis`, which each node reaches through its
   * proxies.
   */
  store?: Store | undefined;
  prefix: string;
  leaseMs: number;
  /** How long clients are told to wait before they come back. */
  retryMs: number;
  drainMs: number;
  affinity?: 'any' | 'owner' | undefined;
  sabotage?: Sabotage | undefined;
  bare?: boolean | undefined;
  /** Where the audit trail goes. Left out: there is none. */
  audit?: string | undefined;
}

/** A place for a node. Its process is replaced at times, while its proxies to Redis stay. */
export interface Place {
  readonly name: string;
  readonly proxy: TcpProxy;
  /** The proxy that drops packets. It is in front of `proxy`. */
  readonly packets: LateProxy;
  process: NodeProcess;
  /** New faults happen only to nodes that are `up`. */
  state: 'up' | 'paused' | 'leaving' | 'down';
}

const script = new URL('node.ts', import.meta.url);
/** How long a node goes on after the balancer could learn that it is not ready any more. */
const LEAVE_MS = 200;

/** Node processes behind one balancer. Each has its own two proxies between it and Redis. */
export class Fleet {
  readonly places: Place[] = [];
  /** The output of nodes that have ended, to look into a failed run. */
  readonly outputs: string[] = [];
  private closed = false;

  private constructor(
    private readonly options: FleetOptions,
    private readonly balancer: Balancer,
  ) {}

  static async start(options: FleetOptions, balancer: Balancer): Promise<Fleet> {
    const fleet = new Fleet(options, balancer);
    await Promise.all(
      Array.from({ length: options.nodes }, async (_, at) => {
        const proxy = await startTcpProxy({ target: { port: options.redis.port } });
        const packets = await startLateProxy(proxy.port);
        const process = await fleet.launch(packets);
        fleet.places.push({ name: `node ${at + 1}`, proxy, packets, process, state: 'up' });
      }),
    );
    return fleet;
  }

  up(): Place[] {
    return this.places.filter(({ state }) => state === 'up');
  }

  /** Kills the node, and then starts a new one. */
  async kill(place: Place): Promise<void> {
    place.state = 'down';
    place.process.kill('SIGKILL');
    await this.replace(place);
  }

  async pause(place: Place, ms: number): Promise<void> {
    place.state = 'paused';
    place.process.kill('SIGSTOP');
    await pause(ms);
    place.process.kill('SIGCONT');
    place.state = 'up';
  }

  /** Sets the wall clock of a node. Its timers are not affected. A process that has ended meanwhile is ignored. */
  setClock({ process }: Place, aheadMs: number): void {
    process.call('setClock', { aheadMs }).catch(() => undefined);
  }

  /** Ends the node in good order (not ready, drained, closed), and then starts a new one. */
  async restart(place: Place): Promise<void> {
    place.state = 'leaving';
    place.process.kill('SIGTERM');
    await this.replace(place);
  }

  /**
   * Sends a notification from any living node, as a webhook does. Resolves when it was accepted. Rejects if that is not
   * known.
   */
  async notify(random: Random, sessionId: string, data: unknown): Promise<void> {
    const up = this.up();
    const { process } = random.pick(up.length > 0 ? up : this.places);
    await process.call('notify', { sessionId, data });
  }

  /** Ends the subscriptions of all nodes, and leaves their other connections alone. */
  async killSubscribers(redis: Redis): Promise<void> {
    await redis.client('KILL', 'TYPE', 'PUBSUB');
  }

  async stop(): Promise<void> {
    this.closed = true;
    await Promise.all(
      this.places.map(async ({ process, proxy, packets }) => {
        process.kill('SIGKILL');
        await process.exited;
        this.note(process);
        packets.stop();
        await proxy.stop();
      }),
    );
  }

  private async replace(place: Place): Promise<void> {
    const { process: old } = place;
    await old.exited;
    this.balancer.remove(old.port);
    this.note(old);
    if (this.closed) return;
    place.process = await this.launch(place.packets);
    place.state = 'up';
  }

  private note({ output, pid }: NodeProcess): void {
    if (output !== '') this.outputs.push(`${pid}: ${output.trim()}`);
  }

  private async launch({ port }: LateProxy): Promise<NodeProcess> {
    const {
      recordsUrl,
      store,
      prefix,
      leaseMs,
      retryMs,
      drainMs,
      affinity,
      sabotage,
      bare,
      audit,
    } = this.options;
    const process = await startNode({
      script,
      env: {
        STORE: JSON.stringify(store ?? { url: `redis://127.0.0.1:${port}` }),
        RECORDS_URL: recordsUrl,
        PREFIX: prefix,
        LEASE_MS: `${leaseMs}`,
        RETRY_MS: `${retryMs}`,
        LEAVE_MS: `${LEAVE_MS}`,
        DRAIN_MS: `${drainMs}`,
        AFFINITY: affinity,
        SABOTAGE: sabotage,
        BARE: bare ? '1' : undefined,
        AUDIT: audit,
      },
    });
    this.balancer.add(process.port);
    return process;
  }
}
