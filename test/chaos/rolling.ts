import { setTimeout as pause } from 'node:timers/promises';
import { Scene, type SceneOptions } from './scene.js';
import type { Verdict } from './verdict.js';

export interface RollingOptions extends SceneOptions {
  /** How often each node is replaced. */
  rounds: number;
  /** From one node's being ready again to the end of the next. */
  betweenMs: number;
}

export interface RollingOutcome {
  verdict: Verdict;
  /** Calls that did not get their result at the first try. */
  failed: number;
  /** Nodes replaced. */
  restarts: number;
  ms: number;
  outputs: string[];
}

/** Replaces one node after the other under load, as a deployment does: not ready, drained, closed, the next one. */
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
