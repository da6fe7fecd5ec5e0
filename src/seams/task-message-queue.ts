import type { Tasks } from '../backplane/seams.js';
import type { JsonRpcRequest } from '../protocol/jsonrpc.js';
import type { Questions } from './questions.js';
import type { QueuedMessage, TaskMessageQueue } from './types.js';
import type { Waits } from './waits.js';

export interface TaskMessageQueueParts {
  tasks: () => Tasks;
  waits: Waits;
  nodeId: () => string;
  /** However many the server would allow. */
  most: number;
  /** Left out: without the middleware, answers come to the node that has sent the request, and stay there. */
  questions?: Questions | undefined;
}

/** As it is stored: with the node that it comes from, and whether the request in it has an id of the cluster. */
interface Stored {
  from: string;
  adopted: boolean;
  queued: Queued;
}

type Queued = Omit<QueuedMessage, 'message'> & { message: object };

export function taskMessageQueue(parts: TaskMessageQueueParts): TaskMessageQueue {
  const { tasks, waits, questions } = parts;

  const taken = ({ from, adopted, queued }: Stored): Queued => {
    if (queued.type !== 'request') return queued;
    const request = queued.message as JsonRpcRequest;
    if (adopted) {
      questions?.sending(request);
      return queued;
    }
    if (from === parts.nodeId()) return queued;
    // Each server counts its ids from 0: the answer to another's must not be taken for that to one of its own.
    return { ...queued, message: { ...request, id: `${from}.${request.id}` } };
  };

  return {
    async enqueue(taskId, message, sessionId, maxSize) {
      const queued: Queued = message;
      const adopted =
        queued.type === 'request' && questions !== undefined
          ? await adopt(taskId, queued.message as JsonRpcRequest, sessionId)
          : undefined;
      const stored: Stored = {
        from: parts.nodeId(),
        adopted: adopted !== undefined,
        queued: adopted === undefined ? queued : { ...queued, message: adopted },
      };
      const most = Math.min(maxSize ?? parts.most, parts.most);
      if (await tasks().push(taskId, JSON.stringify(stored), most)) return;
      throw new Error(`Task message queue overflow: there are ${most} messages already`);
    },
    async dequeue(taskId, sessionId) {
      const text = await tasks().pop(taskId);
      if (text === undefined) {
        waits.foundEmpty(taskId, sessionId);
        return undefined;
      }
      return taken(JSON.parse(text) as Stored) as QueuedMessage;
    },
    async dequeueAll(taskId, sessionId) {
      const all = (await tasks().popAll(taskId)).map((text) => JSON.parse(text) as Stored);
      return all.map((stored) => {
        if (!stored.adopted || sessionId === undefined) return taken(stored) as QueuedMessage;
        const { queued } = stored;
        const own = questions?.retract(sessionId, queued.message as JsonRpcRequest);
        return (own === undefined ? queued : { ...queued, message: own }) as QueuedMessage;
      });
    },
  };

  async function adopt(
    taskId: string,
    request: JsonRpcRequest,
    given: string | undefined,
  ): Promise<JsonRpcRequest | undefined> {
    // Older versions of the SDK do not say which session it is.
    const sessionId = given ?? (await tasks().get(taskId))?.sessionId;
    return sessionId === undefined ? undefined : questions?.adopt(sessionId, request);
  }
}
