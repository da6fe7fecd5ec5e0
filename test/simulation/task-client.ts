import type { ClientHost, Message } from './client-requests.js';
import type { SimClient } from './client.js';
import { toolCall } from './client.js';
import type { ToolCall } from './plan.js';
import type { TaskAsk } from './task-ledger.js';
import type { TaskWish } from './task-server.js';

/** How often a client asks for a result, if the answers say that a node is gone or that the backplane is away. */
const MOST_TRIES = 4;

/** The requests of a client about tasks. */
export class TaskClient {
  private readonly tasks: string[] = [];

  constructor(
    private readonly host: ClientHost,
    private readonly client: SimClient,
  ) {}

  /** Calls a tool as a task. */
  start(slot: number, call: ToolCall, wish: TaskWish): void {
    const { client } = this;
    if (client.sessionId === undefined || client.over) return;
    const id = client.nextId();
    const message = toolCall(id, `p${id}`, call);
    const params = { ...message.params, task: wish };
    client.request('task', slot, [{ ...message, params }], undefined, ({ result }) => {
      if (result?.task === undefined || this.tasks.includes(result.task.taskId)) return;
      this.tasks.push(result.task.taskId);
    });
  }

  /** Sends a request about one of the client's tasks. */
  ask(slot: number, what: TaskAsk['what'], which: number): void {
    const taskId = this.tasks[which % Math.max(this.tasks.length, 1)];
    if (taskId !== undefined) this.send(slot, what, taskId, MOST_TRIES);
  }

  /** Asks for the results of all tasks. */
  comeBack(): void {
    for (const taskId of this.tasks) this.send(this.host.anySlot(), 'result', taskId, MOST_TRIES);
  }

  private send(slot: number, what: TaskAsk['what'], taskId: string, tries: number): void {
    const { client, host } = this;
    const { sessionId } = client;
    if (sessionId === undefined || client.over) return;
    const ask: TaskAsk = {
      ...{ client: client.options.name, sessionId, taskId, what, slot, at: host.scheduler.elapsed },
      ...{ endedAt: undefined, status: undefined, result: undefined },
    };
    host.ledger.tasks.asks.push(ask);
    const message = {
      jsonrpc: '2.0',
      id: client.nextId(),
      method: `tasks/${what}`,
      params: { taskId },
    };
    ask.record = client.request(`task ${what}`, slot, [message], undefined, (answer) => {
      ask.endedAt ??= host.scheduler.elapsed;
      note(ask, answer);
      // If the node that was asked is gone, or the backplane was away, the client has learned nothing of the task.
      if (what !== 'result' || !isPassing(answer) || tries === 1) return;
      host.scheduler.after(host.random.int(1, 500), () =>
        this.send(host.anySlot(), what, taskId, tries - 1),
      );
    });
  }
}

function note(ask: TaskAsk, { result, error }: Message): void {
  if (error !== undefined) {
    ask.result = `error ${error.message}`;
  } else if (ask.what === 'result') {
    ask.result = result?.outcome ?? (result?.isError === true ? 'of a dead node' : 'nothing');
  } else {
    ask.status = result?.status;
  }
}

/** Whether the error says nothing about the task: a node is gone, the backplane was away, or there was no server. */
function isPassing({ error }: Message): boolean {
  if (error === undefined) return false;
  return error.code === -32000 || /cannot be reached|Internal error/.test(error.message ?? '');
}
