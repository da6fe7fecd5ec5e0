import type { EndpointResponse } from './endpoint-response.js';
import type { Socket } from 'node:net';
import { connectionOf, connectionOfRequest, cut, isGone } from './response.js';

/**
 * Runs tasks when a response is closed by either side. It attaches one listener for all tasks, because attaching a listener
 * to an Express response is slow.
 */
export class ResponseClosing {
  private readonly tasks: (() => void)[] = [];

  constructor(res: EndpointResponse) {
    const close = (): void => this.close();
    res.on('close', close);
    const connection = connectionOf(res);
    if (connection === undefined) {
      // A response of a serverless adapter has no connection that could close. It ends when all of it was handed over.
      res.on('finish', close);
    } else if (connection === null && !isGone(res) && !res.writableFinished) {
      this.closeWithConnection(res);
    }
  }

  /** Adds a task. It does not run if the response is closed already. */
  add(task: () => void): void {
    this.tasks.push(task);
  }

  private close(): void {
    for (const task of this.tasks.splice(0)) task();
  }

  /**
   * Handles a response that waits behind another one, because the client sends requests without waiting for answers
   * (pipelining). It has no connection yet, and Node does not close it together with the connection of its request.
   */
  private closeWithConnection(res: EndpointResponse): void {
    const socket = connectionOfRequest(res);
    const onGone = (): void => {
      cut(res);
      this.close();
    };
    if (socket === undefined || socket.destroyed) onGone();
    else res.once('socket', whenClosed(socket, onGone));
  }
}

const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Runs a task when a socket closes, and returns a function that cancels the task. All tasks of a socket share one listener.
 */
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
