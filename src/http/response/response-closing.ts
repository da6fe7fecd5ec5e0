import type { Socket } from 'node:net';
import type { Response } from 'express';
import { connectionOf, cut, isGone } from './response.js';

/**
 * What is to be done when a response is closed, by whichever side. One listener for all of it: what Express has made of a
 * response is slow to attach listeners to.
 */
export class ResponseClosing {
  private readonly tasks: (() => void)[] = [];

  constructor(res: Response) {
    const close = (): void => this.close();
    res.on('close', close);
    const connection = connectionOf(res);
    if (connection === undefined) {
      // A response of a serverless adapter has no connection that could be closed: it ends when all of it was handed over.
      res.on('finish', close);
    } else if (connection === null && !isGone(res) && !res.writableFinished) {
      this.closeWithConnection(res);
    }
  }

  /** Not called any more for a response that is closed already. */
  add(task: () => void): void {
    this.tasks.push(task);
  }

  private close(): void {
    for (const task of this.tasks.splice(0)) task();
  }

  /**
   * A response that waits behind another one, for a client that sends requests without waiting for answers (pipelining).
   * It has no connection yet, and Node does not close it with that of its request.
   */
  private closeWithConnection(res: Response): void {
    const { socket } = res.req;
    const onGone = (): void => {
      cut(res);
      this.close();
    };
    if (socket.destroyed) onGone();
    else res.once('socket', whenClosed(socket, onGone));
  }
}

const waiting = new WeakMap<Socket, Set<() => void>>();

/** Returns its cancellation. With one listener per connection, however many responses wait on it. */
function whenClosed(socket: Socket, task: () => void): () => void {
  const tasks = waiting.get(socket) ?? new Set();
  if (!waiting.has(socket)) {
    waiting.set(socket, tasks);
    socket.once('close', () => {
      for (const each of tasks) each();
    });
  }
  tasks.add(task);
  return () => tasks.delete(task);
}
