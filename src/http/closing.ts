import type { Response } from 'express';

/**
 * What is to be done when a response is closed, by whichever side. One listener for all of it: what Express has made of a
 * response is slow to attach listeners to.
 */
export class Closing {
  private readonly tasks: (() => void)[] = [];

  constructor(res: Response) {
    res.on('close', () => {
      for (const task of this.tasks) task();
    });
  }

  /** Not called any more for a response that is closed already. */
  add(task: () => void): void {
    this.tasks.push(task);
  }
}
