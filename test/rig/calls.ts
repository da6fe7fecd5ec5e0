import type { ChildProcess } from 'node:child_process';
import type { AnswerMessage, CallMessage, FromChild, ReadyMessage } from './ipc.js';

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/** The parent's side of the channel to one node. It sends calls, and receives their answers. */
export class Calls {
  /** Resolves with the child's first message. Stays pending if no message comes. */
  readonly ready: Promise<ReadyMessage>;
  readonly #pending = new Map<number, Pending>();
  #last = 0;

  constructor(
    private readonly child: ChildProcess,
    private readonly name: string,
  ) {
    this.ready = new Promise((resolve) => {
      child.on('message', (message: FromChild) => {
        if ('ready' in message) resolve(message);
        else this.#settle(message);
      });
    });
    child.once('disconnect', () => {
      const gone = new Error(`${this.name} ended before it answered`);
      for (const { reject } of this.#pending.values()) reject(gone);
      this.#pending.clear();
    });
  }

  call(method: string, params: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.child.connected) {
        reject(new Error(`${this.name} has ended and cannot be asked for '${method}'`));
        return;
      }
      const call = ++this.#last;
      this.#pending.set(call, { resolve, reject });
      this.child.send({ call, method, params } satisfies CallMessage, (error) => {
        if (error === null) return;
        this.#pending.delete(call);
        reject(error);
      });
    });
  }

  #settle(message: AnswerMessage): void {
    const pending = this.#pending.get(message.call);
    this.#pending.delete(message.call);
    if ('error' in message) {
      const { name, message: text } = message.error;
      pending?.reject(Object.assign(new Error(text), { name }));
    } else {
      pending?.resolve(message.result);
    }
  }
}
