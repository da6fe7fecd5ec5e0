/**
 * Finds the moment in which the SDK's `tasks/result` would sleep.
 *
 * The SDK has no wake-ups. If a queue is empty and the task goes on, it sleeps for the task's `pollInterval` and looks
 * again. Before that it always makes the same calls in a row: `dequeue` finds nothing, `getTask` shows whether the task has
 * ended, and `getTask` gives the `pollInterval`. So the second `getTask` can wait for events on other nodes, and return a
 * `pollInterval` that ends at once. If a version of the SDK makes other calls, no call waits, and the SDK polls as before.
 */
export class ResultWaits {
  private readonly expected = new Map<string, Step[]>();

  /** Notes that the queue was found empty. It must be called right before that is returned. */
  foundEmpty(taskId: string, sessionId: string | undefined): void {
    this.expect(taskId, sessionId, 'look');
  }

  /**
   * Says which of the SDK's calls to `getTask` this is. `undefined`: it is not one of them. It must be called before
   * anything is awaited.
   */
  step(taskId: string, sessionId: string | undefined): Step | undefined {
    const key = keyOf(taskId, sessionId);
    const steps = this.expected.get(key);
    const step = steps?.shift();
    if (steps?.length === 0) this.expected.delete(key);
    return step;
  }

  /** Notes the first call to `getTask`, if the task goes on. It must be called right before that is returned. */
  looked(taskId: string, sessionId: string | undefined): void {
    this.expect(taskId, sessionId, 'wait');
  }

  private expect(taskId: string, sessionId: string | undefined, step: Step): void {
    const key = keyOf(taskId, sessionId);
    const steps = this.expected.get(key) ?? [];
    this.expected.set(key, steps);
    steps.push(step);
    // The SDK goes on in this turn of the event loop. A call in a later turn comes from other code.
    setImmediate(() => {
      if (this.expected.get(key) === steps) this.expected.delete(key);
    });
  }
}

export type Step = 'look' | 'wait';

function keyOf(taskId: string, sessionId: string | undefined): string {
  return JSON.stringify([taskId, sessionId]);
}
