/**
 * Finds the moment in which the SDK's `tasks/result` would sleep.
 *
 * The SDK knows no wake-up: where a queue is empty and the task goes on, it sleeps for the task's `pollInterval` and looks
 * again. What it calls before is always the same, one after the other with nothing between: `dequeue` finds nothing,
 * `getTask` to see whether the task has ended, and `getTask` for its `pollInterval`. So the second one can wait for what
 * happens on other nodes, and return a `pollInterval` that is over at once. If a version of the SDK calls something
 * else, nobody waits, and it polls as ever.
 */
export class ResultWaits {
  private readonly expected = new Map<string, Step[]>();

  /** The queue was found empty. To be called right before that is returned. */
  foundEmpty(taskId: string, sessionId: string | undefined): void {
    this.expect(taskId, sessionId, 'look');
  }

  /** Which of its calls to `getTask` this is; `undefined`: somebody else's. To be called before anything is awaited. */
  step(taskId: string, sessionId: string | undefined): Step | undefined {
    const key = keyOf(taskId, sessionId);
    const steps = this.expected.get(key);
    const step = steps?.shift();
    if (steps?.length === 0) this.expected.delete(key);
    return step;
  }

  /** After its first call to `getTask`, where the task goes on. To be called right before that is returned. */
  looked(taskId: string, sessionId: string | undefined): void {
    this.expect(taskId, sessionId, 'wait');
  }

  private expect(taskId: string, sessionId: string | undefined, step: Step): void {
    const key = keyOf(taskId, sessionId);
    const steps = this.expected.get(key) ?? [];
    this.expected.set(key, steps);
    steps.push(step);
    // The SDK goes on in this very turn of the event loop. What comes in a later one is somebody else's.
    setImmediate(() => {
      if (this.expected.get(key) === steps) this.expected.delete(key);
    });
  }
}

export type Step = 'look' | 'wait';

function keyOf(taskId: string, sessionId: string | undefined): string {
  return JSON.stringify([taskId, sessionId]);
}
