import type { StoryResult } from '../story.js';

/** Plays the story many times, one after the other, and counts. Every failure is printed; `true` if there was none. */
export async function tally(
  runs: number,
  play: () => Promise<StoryResult>,
  print: (line: string) => void,
): Promise<boolean> {
  const times = new Map<string, number[]>();
  let failed = 0;
  for (let run = 1; run <= runs; run++) {
    const { ok, steps } = await play();
    for (const step of steps) {
      times.set(step.name, [...(times.get(step.name) ?? []), step.ms]);
      if (!step.ok) print(`run ${run}: ✘ ${step.name} (${step.nodes.join(' ')}): ${step.detail}`);
    }
    if (!ok) failed++;
    if (run % 10 === 0) print(`${run} of ${runs} runs, ${failed} failed`);
  }
  print(`\n${runs - failed} of ${runs} runs held. Each step, median and slowest:`);
  for (const [name, all] of times) {
    const sorted = [...all].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const slowest = sorted.at(-1) ?? 0;
    print(
      `  ${name.padEnd(56)} ${median.toFixed(0).padStart(6)} ms ${slowest.toFixed(0).padStart(6)} ms`,
    );
  }
  return failed === 0;
}
