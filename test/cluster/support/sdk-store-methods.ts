/** What a test asks a node process to do with the SDK's stores and the session's own state. */
import type { Anynode } from '../../../src/index.js';
import type { QueuedMessage, ServerEvent, Task } from '../../../src/sdk-stores/index.js';

interface OfTask {
  mount: string;
  taskId: string;
  sessionId: string;
}

export function sdkStoreMethods(mcpOf: (mount: string) => Anynode) {
  const heard = new Map<string, ServerEvent[]>();
  return {
    setState: ({
      mount,
      sessionId,
      value,
    }: {
      mount: string;
      sessionId: string;
      value: unknown;
    }): Promise<unknown> => mcpOf(mount).session(sessionId).state.set(value),

    createTask: async ({ mount, sessionId }: { mount: string; sessionId: string }) => {
      const request = { method: 'tools/call' };
      return (await mcpOf(mount).taskStore.createTask({}, 1, request, sessionId)).taskId;
    },
    task: ({ mount, taskId, sessionId }: OfTask) =>
      mcpOf(mount).taskStore.getTask(taskId, sessionId),
    changeTask: ({
      mount,
      taskId,
      sessionId,
      status,
      text,
    }: OfTask & { status: Task['status']; text: string }) =>
      mcpOf(mount).taskStore.updateTaskStatus(taskId, status, text, sessionId),
    endTask: ({ mount, taskId, sessionId, result }: OfTask & { result: object }) =>
      mcpOf(mount).taskStore.storeTaskResult(taskId, 'completed', result, sessionId),
    taskResult: ({ mount, taskId, sessionId }: OfTask) =>
      mcpOf(mount).taskStore.getTaskResult(taskId, sessionId),
    enqueue: ({ mount, taskId, sessionId, message }: OfTask & { message: QueuedMessage }) =>
      mcpOf(mount).taskMessageQueue.enqueue(taskId, message, sessionId),
    dequeue: ({ mount, taskId, sessionId }: OfTask) =>
      mcpOf(mount).taskMessageQueue.dequeue(taskId, sessionId),

    storeEvent: ({
      mount,
      sessionId,
      message,
    }: {
      mount: string;
      sessionId: string;
      message: object;
    }) => mcpOf(mount).eventStore(sessionId).storeEvent('stream', message),
    async replay({ mount, sessionId, after }: { mount: string; sessionId: string; after: string }) {
      const seen: object[] = [];
      await mcpOf(mount)
        .eventStore(sessionId)
        .replayEventsAfter(after, {
          send: (_, message: object) => Promise.resolve(void seen.push(message)),
        });
      return seen;
    },

    hear: ({ mount }: { mount: string }) => {
      const events: ServerEvent[] = [];
      heard.set(mount, events);
      mcpOf(mount).serverEventBus.subscribe((event) => events.push(event));
    },
    heard: ({ mount }: { mount: string }) => heard.get(mount) ?? [],
    publish: ({ mount, event }: { mount: string; event: ServerEvent }) =>
      mcpOf(mount).serverEventBus.publish(event),
  };
}
