import { setTimeout as delay } from 'node:timers/promises';
import { StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { announce, elicit, sample, subscribe } from './story/message-steps.js';
import { Route } from './story/route.js';
import { Scene } from './story/scene.js';
import { callElsewhere, initialize, list, listen, remove } from './story/session-steps.js';
import type { Step } from './story/session-steps.js';
import { cancel, resume } from './story/stream-steps.js';
import { tell, type StepResult } from './story/timeline.js';

export interface StoryOptions {
  /** The one URL that the client knows: the balancer's. */
  url: string;
  /**
   * The nodes' own addresses. With them each step sends single requests to a node of its choice, and demands that it
   * was another one; without them it takes what the balancer gives.
   */
  nodeUrls?: readonly string[];
  /** Takes the timeline, line by line. Left out: nothing is printed. */
  print?: (line: string) => void;
  /** Plays on after a step that does not hold, to show all that breaks. */
  keepGoing?: boolean;
  /** Is called before each step, with the name of the step and the session, if there is one. The story waits for it. */
  before?: (step: string, sessionId: string | undefined) => Promise<void>;
  /** How long a step waits for anything before it counts as broken; 10,000. */
  patienceMs?: number;
}

export interface StoryResult {
  ok: boolean;
  steps: StepResult[];
}

const steps: readonly Step[] = [
  initialize,
  listen,
  list,
  callElsewhere,
  announce,
  subscribe,
  elicit,
  sample,
  resume,
  cancel,
  remove,
];

/**
 * A session from beginning to end, played by the official SDK's client through one URL, each step of it answered by
 * two nodes. Every step is checked; what does not hold is in the result, nothing is thrown for it.
 */
export async function runStory(options: StoryOptions): Promise<StoryResult> {
  const { print = () => undefined, keepGoing = false, patienceMs = 10_000 } = options;
  const route = new Route(options.url);
  await route.meet(options.nodeUrls ?? []);
  let scene = new Scene(route, patienceMs);
  const results: StepResult[] = [];

  try {
    for (const step of steps) {
      await options.before?.(step.name, scene.transport.sessionId);
      const result = await play(step, scene, print);
      results.push(result);
      if (result.ok) continue;
      if (!keepGoing) break;
      if (step === initialize) {
        route.url = route.nodeUrls[0] ?? route.url;
        print('    From here on every request goes to A, but for those that a step sends to B.');
        scene = new Scene(route, patienceMs);
        await scene.connect();
      }
    }
  } finally {
    await scene.close();
  }
  return { ok: results.every(({ ok }) => ok), steps: results };
}

/** An error's message; of an HTTP refusal, status and text without the envelope. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const refusal = /"message":"([^"]*)"/.exec(message)?.[1];
  return error instanceof StreamableHTTPError && refusal !== undefined
    ? `HTTP ${error.code ?? ''} ${refusal}`
    : message;
}

async function play(step: Step, scene: Scene, print: (line: string) => void): Promise<StepResult> {
  const { items } = scene.route.exchanges;
  const from = items.length;
  const began = performance.now();
  let ok = true;
  let detail: string;
  try {
    detail = await step.play(scene);
  } catch (error) {
    ok = false;
    detail = reason(error);
    // What the client still sends after a failure, a cancellation say, belongs to this step.
    await delay(20);
  }
  const exchanges = items.slice(from);
  const nodes = exchanges.map(({ node }) => node);
  const result = { name: step.name, ok, nodes, ms: performance.now() - began, detail };
  for (const line of tell(result, exchanges)) print(line);
  return result;
}
