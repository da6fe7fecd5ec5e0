import { setTimeout as pause } from 'node:timers/promises';
import { Faults, REDIS_FAULTS, type FaultName } from './faults.js';
import { Scene, type SceneOptions } from './scene.js';
import type { TrailVerdict } from './trail-verdict.js';
import type { Verdict } from './verdict.js';

export interface ChaosOptions extends SceneOptions {
  /** How long faults are started. */
  forMs: number;
  /** How often a node is killed. Left out: never. */
  killEveryMs?: number | undefined;
  pauseEveryMs?: number | undefined;
  restartEveryMs?: number | undefined;
  cutEveryMs?: number | undefined;
  /** Which faults of Redis happen. Left out: all of them, in turn. */
  cuts?: readonly FaultName[] | undefined;
  /** How often Redis is killed, and with `trail: 'postgres'` PostgreSQL. Only with `trail`. Left out: never. */
  outageEveryMs?: number | undefined;
}

export interface Outcome {
  verdict: Verdict;
  /** Set with `trail`. */
  trail?: TrailVerdict | undefined;
  /** How often each fault was started. */
  faults: Map<FaultName, number>;
  lostReplies: number;
  /** What happened at which time. */
  log: string[];
  /** The output of the nodes. */
  outputs: string[];
}

/** Starts several kinds of faults at the same time, each at its own pace, while clients call, listen and come back. */
export async function runChaos(options: ChaosOptions): Promise<Outcome> {
  const scene = await Scene.start(options);
  const { fleet, random, redis } = scene;
  const { server, trail } = scene;
  const faults = new Faults(fleet, redis, random, options.leaseMs, {
    'Redis killed': async () => {
      await server.halt('SIGKILL');
      await pause(random.int(200, options.leaseMs));
      await server.start();
    },
    'PostgreSQL killed': async () => {
      await trail?.kill?.();
      await pause(random.int(200, 3 * options.leaseMs));
      await trail?.start?.();
    },
  });
  const timers: NodeJS.Timeout[] = [];
  const every = (ms: number | undefined, next: () => void): void => {
    if (ms !== undefined) timers.push(setInterval(next, ms));
  };
  /** Returns a function that starts one of these faults at random, and repeats none before all have happened. */
  const inTurn = (names: readonly FaultName[]): (() => void) => {
    let left: FaultName[] = [];
    return () => {
      if (left.length === 0) left = [...names];
      const name = random.pick(left);
      left = left.filter((other) => other !== name);
      faults.bring(name);
    };
  };
  try {
    scene.begin();
    every(options.killEveryMs, () => faults.bring('node killed'));
    every(options.restartEveryMs, () => faults.bring('node restarted'));
    every(
      options.pauseEveryMs,
      inTurn([
        'node paused, shorter than its lease',
        'node paused, longer than its lease',
        'clock of one node 20 minutes ahead',
      ]),
    );
    every(options.cutEveryMs, inTurn(options.cuts ?? REDIS_FAULTS));
    if (trail !== undefined) {
      const outages = [
        'Redis killed',
        ...(trail.kill ? (['PostgreSQL killed'] as const) : []),
      ] as const;
      every(options.outageEveryMs, inTurn(outages));
    }
    if (options.restless) {
      every(4000 / options.clients, () => random.pick(scene.clients).cutStream());
    }
    await pause(options.forMs);
    for (const timer of timers.splice(0)) clearInterval(timer);
    await faults.over();
    const verdict = await scene.end();
    const audited = trail && (await scene.judgeTrail());
    const { counts, lostReplies, log } = faults;
    return { verdict, trail: audited, faults: counts, lostReplies, log, outputs: fleet.outputs };
  } finally {
    for (const timer of timers) clearInterval(timer);
    await scene.stop();
  }
}
