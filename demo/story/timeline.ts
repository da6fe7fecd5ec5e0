import type { Exchange } from './route.js';

export interface StepResult {
  name: string;
  ok: boolean;
  /** The nodes that answered the step's HTTP requests, in order, each as often as it did. */
  nodes: string[];
  ms: number;
  /** What happened; for a step that does not hold, what broke. */
  detail: string;
}

/** The lines that tell one step: its outcome, then each HTTP request under the letter of the node that answered it. */
export function tell(step: StepResult, exchanges: readonly Exchange[]): string[] {
  const head = `${step.ok ? '✔' : '✘'} ${step.name}`;
  return [
    `${head.padEnd(58)} ${step.ms.toFixed(0).padStart(5)} ms`,
    ...exchanges.map(
      ({ node, label, status }) => `    ${node}  ${label}${status < 300 ? '' : ` → ${status}`}`,
    ),
    `    ${step.ok ? '' : 'BROKEN: '}${step.detail}`,
  ];
}
