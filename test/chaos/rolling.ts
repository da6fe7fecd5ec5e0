import { setTimeout as pause } from 'node:timers/promises';
import { Scene, type SceneOptions } from './scene.js';
import type { Verdict } from './verdict.js';

export interface RollingOptions extends SceneOptions {
  /** How often each node is replaced. */
  rounds: number;
  /** The time between a new node's being ready and the end of the next node. */
  betweenMs: number;
}

export interface RollingOutcome {
  verdict: Verdict;
  /** How many calls did not get their result at the first try. */
  failed: number;
  /** How many nodes were replaced. */
  restarts: number;
  ms: number;
  outputs: string[];
}

/**
 * Replaces one node after the other under load, as a deployment does. Each node is first not ready, then drained, then
 * closed.
 */
export async function runRolling(options: RollingOptions): Promise<RollingOutcome> {
  const scene = await Scene.start(options);
  const { fleet } = scene;
  try {
    scene.begin();
    const begun = Date.now();
    let restarts = 0;
    for (let round = 0; round < options.rounds; round += 1) {
      for (const place of fleet.places) {
        await fleet.restart(place);
        restarts += 1;
        await pause(options.betweenMs);
      }
    }
    const ms = Date.now() - begun;
    const verdict = await scene.end();
    const failed = verdict.calls - (verdict.ends.get('result') ?? 0);
    return { verdict, failed, restarts, ms, outputs: fleet.outputs };
  } finally {
    await scene.stop();
  }
}
