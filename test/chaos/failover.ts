import { setTimeout as pause } from 'node:timers/promises';
import { startRedisCluster } from '../rig/redis.js';
import { startSentinels } from '../support/redis-sentinels.js';
import { Scene, type SceneOptions } from './scene.js';
import type { Store } from './store.js';
import type { Verdict } from './verdict.js';

export type FailoverKind = 'sentinel' | 'cluster';

export interface FailoverOptions extends SceneOptions {
  kind: FailoverKind;
  /** How long the load goes on before the master is killed, and after all clients have recovered. */
  aroundMs: number;
}

export interface FailoverOutcome {
  verdict: Verdict;
  /**
   * For each client, the time from the end of the master to the first result of a call that it began afterwards. The times
   * are sorted.
   */
  recoveredMs: number[];
  outputs: string[];
}

interface Redundant {
  store: Store;
  killMaster(): Promise<void>;
  stop(): Promise<void>;
}

/** How long all clients may take until they get results again. */
const RECOVERY_MS = 30_000;

/** Kills a master under load. Its replica takes its place. */
export async function runFailover(options: FailoverOptions): Promise<FailoverOutcome> {
  const redundant = options.kind === 'sentinel' ? await withSentinels() : await withCluster();
  try {
    const scene = await Scene.start({ ...options, store: redundant.store });
    try {
      scene.begin();
      await pause(options.aroundMs);
      const killedAt = Date.now();
      await redundant.killMaster();
      const deadline = killedAt + RECOVERY_MS;
      while (recoveries(scene, killedAt).length < options.clients && Date.now() < deadline) {
        await pause(50);
      }
      await pause(options.aroundMs);
      const recoveredMs = recoveries(scene, killedAt);
      const verdict = await scene.end();
      return { verdict, recoveredMs, outputs: scene.fleet.outputs };
    } finally {
      await scene.stop();
    }
  } finally {
    await redundant.stop();
  }
}

function recoveries(scene: Scene, since: number): number[] {
  return scene.clients
    .flatMap(({ ledger }) => {
      const first = ledger.calls.find(({ begun, end }) => begun > since && end === 'result');
      return first?.ended === undefined ? [] : [first.ended - since];
    })
    .sort((a, b) => a - b);
}

/** A master, its replica and sentinels. They act after half a second of silence, and vote. */
async function withSentinels(): Promise<Redundant> {
  const { ports, master, stop } = await startSentinels();
  return { store: { sentinels: ports }, killMaster: () => master.halt('SIGKILL'), stop };
}

/** Three masters, each with a replica. They act after a second of silence, and vote. A third of the sessions have to wait. */
async function withCluster(): Promise<Redundant> {
  const options = { masters: 3, replicas: true, nodeTimeoutMs: 1000 };
  const { urls, servers, stop } = await startRedisCluster(options);
  const [, victim] = servers;
  return {
    store: { cluster: urls[0] ?? '' },
    killMaster: async () => victim?.halt('SIGKILL'),
    stop,
  };
}
