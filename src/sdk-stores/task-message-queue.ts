import type { Tasks } from '../backplane/sdk-store-access.js';
import type { Logger } from '../options/public-types.js';
import { BoundedMap } from '../protocol/bounded-map.js';
import type { Questions } from './questions.js';
import type { QueuedMessage, TaskMessageQueue } from './store-types.js';

export interface TaskMessageQueueParts {
  tasks: () => Tasks;
  nodeId: string;
  /** The most messages in a queue, even if the server allows more. */
  most: number;
  logger: Pick<Logger, 'warn'>;
  /**
   * Brings answers back to the server that asked. Missing without the middleware: then an answer stays on the node that has sent
   * the request.
   */
  questions?: Questions | undefined;
}

/** A node remembers at least this many of the messages that it took out last. */
const KNOWN = 1_000;

/** A message as it is stored. `from` is its node. `adopted`: the message is a request with an id from `Questions.adopt`. */
interface Stored {
  /** No other message has this id. A node of another release may store none. */
  id?: string;
  from: string;
  adopted: boolean;
  queued: QueuedMessage;
}

export function taskMessageQueue(parts: TaskMessageQueueParts): TaskMessageQueue {
  const { tasks, questions } = parts;
  const takenBefore = new BoundedMap<string, true>(KNOWN);
  let count = 0;

  /** Returns false if this node has taken the message before. A failover has put it back then, and it must not be sent twice. */
  const isTakenFirst = ({ id }: Stored): boolean => {
    if (id === undefined) return true;
    if (takenBefore.has(id)) return false;
    takenBefore.set(id, true);
    return true;
  };

  const dequeued = ({ from, adopted, queued }: Stored): QueuedMessage => {
    if (queued.type !== 'request') return queued;
    const { message: request } = queued;
    if (adopted) {
      questions?.sending(request);
      return queued;
    }
    if (from === parts.nodeId) return queued;
    // Each server counts its ids from 0. An answer to another server's request must not be taken for one to this server's
    // request.
    return { ...queued, message: { ...request, id: `${from}.${request.id}` } };
  };

  return {
    async enqueue(taskId, message, sessionId, maxSize) {
      const most = Math.min(maxSize ?? parts.most, parts.most);
      const adopted = await adopt(taskId, message, sessionId);
      count += 1;
      const stored: Stored = {
        id: `${parts.nodeId}:${count}`,
        from: parts.nodeId,
        adopted: adopted !== undefined,
        queued: adopted?.queued ?? message,
      };
      let pushed = false;
      try {
        pushed = await tasks().push(taskId, JSON.stringify(stored), most);
      } catch (error) {
        // A handler need not await its notifications, and a rejection would end the process. Only requests and answers reject.
        if (message.type !== 'notification') throw error;
        parts.logger.warn(
          `mcp-anynode: ${message.message.method} of a task was not delivered: ${String(error)}`,
        );
        return;
      } finally {
        // The request will not be sent, so no answer will come.
        if (!pushed) adopted?.retract();
      }
      if (!pushed) throw new Error(`Task message queue overflow: it has ${most} messages already`);
    },
    async dequeue(taskId, sessionId) {
      for (;;) {
        const text = await tasks().pop(taskId, sessionId);
        if (text === undefined) return undefined;
        const stored = JSON.parse(text) as Stored;
        if (isTakenFirst(stored)) return dequeued(stored);
      }
    },
    async dequeueAll(taskId, sessionId) {
      let all: Stored[];
      try {
        all = (await tasks().popAll(taskId, sessionId)).map((text) => JSON.parse(text) as Stored);
      } catch (error) {
        // The SDK clears the queue of an ended task without awaiting that. A rejection would not be handled, and would end
        // the process.
        parts.logger.warn(`mcp-anynode: the queue of a task was not cleared: ${String(error)}`);
        return [];
      }
      return all.filter(isTakenFirst).map((stored) => {
        const { queued, adopted } = stored;
        if (!adopted || sessionId === undefined || queued.type !== 'request')
          return dequeued(stored);
        const own = questions?.retract(sessionId, queued.message);
        return own === undefined ? queued : { ...queued, message: own };
      });
    },
  };

  async function adopt(taskId: string, queued: QueuedMessage, given: string | undefined) {
    if (queued.type !== 'request' || questions === undefined) return undefined;
    // Older versions of the SDK do not pass the session.
    const sessionId = given ?? (await tasks().get(taskId))?.sessionId;
    if (sessionId === undefined) return undefined;
    const request = questions.adopt(sessionId, queued.message);
    if (request === undefined) return undefined;
    const adopted: QueuedMessage = { ...queued, message: request };
    return { queued: adopted, retract: () => questions.retract(sessionId, request) };
  }
}
