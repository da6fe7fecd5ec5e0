import type { Clock } from '../../src/protocol/timing/clock.js';
import type { ServerContext, ServerLike, ServerTransport } from '../../src/options/public-types.js';
import type { Ledger } from './ledger.js';
import type { SdkStores } from '../../src/sdk-stores/store-types.js';
import type { ClientRequest, TaskWish } from './task-server.js';
import { TaskServer } from './task-server.js';
import type { Setting } from './plan.js';
import type { Execution, Question } from './records.js';
import type { Scheduler } from './scheduler.js';

/** A step of a tool. The arguments of a call name its steps, which run one after another. */
export type ToolStep =
  | { do: 'wait'; ms: number }
  /** Sends a notification on the stream of the call, with this many extra bytes. */
  | { do: 'progress'; bytes: number }
  | { do: 'log'; bytes: number }
  /** Sends a notification on the standalone stream. */
  | { do: 'announce'; bytes: number }
  /** Makes the answer longer by this many bytes. */
  | { do: 'fill'; bytes: number }
  /** Sends a request to the client, and waits for the answer. */
  | { do: 'ask' }
  | { do: 'hangUp' }
  | { do: 'hangUpStandalone' };

interface Message {
  id?: string | number;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: unknown;
}

interface Extra {
  closeSSEStream?: () => void;
  closeStandaloneSSEStream?: () => void;
}

/** How long a server waits for an answer of its client. The SDK has a timeout, too. */
export const QUESTION_MS = 25_000;

/** Whether a tool is annotated `readOnlyHint`. */
export function isReadOnly({ readOnly }: Pick<Setting, 'readOnly'>, tool: string): boolean {
  return readOnly && tool === 'run';
}

export interface ServerHost {
  setting: Pick<Setting, 'readOnly'>;
  nodeId: string;
  clock: Clock;
  ledger: Ledger;
  scheduler: Scheduler;
  /**
   * Returns what became of a notification that was sent at this time, and whose promise has resolved. Only warnings of the
   * node tell whether it failed, so the result may be `unknown`.
   */
  deliveryOf: (sentAt: number) => 'stored' | 'failed' | 'unknown';
  stores: () => Pick<SdkStores, 'taskStore' | 'taskMessageQueue'>;
}

/** An MCP server that uses neither random numbers nor real time, and writes into the ledger what it does. */
export class SimServer implements ServerLike {
  private transport: ServerTransport | undefined;
  private readonly running = new Map<string, { execution: Execution; stop: () => void }>();
  private readonly waiting = new Map<
    number,
    { mark: string; settle: (answered: boolean) => void }
  >();
  private questions = 0;
  private progress = 0;
  private level = 'none';
  private initialized = 0;
  private readonly subscriptions = new Set<string>();
  private readonly tasks: TaskServer;

  constructor(
    private readonly host: ServerHost,
    private readonly context: ServerContext,
  ) {
    const { ledger, clock, stores, deliveryOf } = host;
    this.tasks = new TaskServer({
      ...{ ledger, clock, stores, deliveryOf, sessionId: context.session.id },
      isConnected: () => this.transport !== undefined,
      send: (message, relatedRequestId) =>
        this.transport?.send(message, { relatedRequestId }) ?? Promise.reject(new Error('closed')),
      ask: (mark, execution, put) => this.question(mark, execution, put),
    });
  }

  async connect(transport: ServerTransport): Promise<void> {
    this.transport = transport;
    transport.onmessage = (message: Message, extra: Extra = {}) => this.onMessage(message, extra);
    transport.onclose = () => this.stop();
    await transport.start();
  }

  close(): Promise<void> {
    this.stop();
    return Promise.resolve();
  }

  private stop(): void {
    this.transport = undefined;
    for (const { stop } of this.running.values()) stop();
    this.tasks.stopAll();
    for (const question of this.waiting.values()) question.settle(false);
  }

  private onMessage(message: Message, extra: Extra): void {
    const { id, method, params = {} } = message;
    if (method === undefined) {
      const question = typeof id === 'number' ? this.waiting.get(id) : undefined;
      const { content } = (message.result ?? {}) as { content?: { mark?: string } };
      // An error means that the task has ended before the client was asked.
      const isAnswer = question !== undefined && message.error === undefined;
      if (isAnswer && content?.mark !== question.mark) {
        const { seen } = this.host.ledger;
        seen.push(`3 answers belong: ${question.mark} got the answer to ${content?.mark}`);
      }
      question?.settle(isAnswer);
    } else if (id === undefined) {
      this.onNotification(method, params);
    } else {
      this.onRequest(id, method, params, extra);
    }
  }

  private onNotification(method: string, params: Record<string, unknown>): void {
    if (method === 'notifications/initialized') {
      const { ledger, nodeId } = this.host;
      const { id } = this.context.session;
      const sent = ledger.asked.filter(
        ({ what, sessionId }) => what === 'initialized' && sessionId === id,
      );
      this.initialized += 1;
      if (this.initialized > sent.length) {
        const times = `${this.initialized} times, and was sent ${sent.length} times`;
        ledger.seen.push(`3 initialized once: a server of ${id} on ${nodeId} got it ${times}`);
      }
    }
    if (method !== 'notifications/cancelled') return;
    // As in the SDK, the cancellation takes effect after the rest of the turn, on the call that has the id by then.
    const key = JSON.stringify(params.requestId);
    void Promise.resolve().then(() => {
      this.running.get(key)?.stop();
      this.tasks.stop(key);
    });
  }

  private onRequest(
    id: string | number,
    method: string,
    params: Record<string, unknown>,
    extra: Extra,
  ): void {
    switch (method) {
      case 'initialize':
        this.answer(id, {
          protocolVersion: params.protocolVersion,
          capabilities: {
            tools: { listChanged: true },
            resources: { subscribe: true },
            logging: {},
          },
          serverInfo: { name: 'simulated', version: '1' },
        });
        break;
      case 'tools/list':
        this.answer(id, {
          tools: [
            { name: 'run', annotations: { readOnlyHint: isReadOnly(this.host.setting, 'run') } },
            { name: 'again', annotations: { idempotentHint: true } },
          ],
        });
        break;
      case 'tools/call':
        void this.call(id, params, extra);
        break;
      case 'tasks/get':
      case 'tasks/result':
      case 'tasks/cancel':
      case 'tasks/list':
        this.tasks.answer(id, method, params).then(
          (result) => result && this.answer(id, { mark: this.nextMark(), ...result }),
          (error: unknown) => this.fail(id, error),
        );
        break;
      case 'logging/setLevel':
        this.level = String(params.level);
        this.answer(id, {});
        break;
      case 'resources/subscribe':
        this.subscriptions.add(String(params.uri));
        this.answer(id, {});
        break;
      case 'resources/unsubscribe':
        this.subscriptions.delete(String(params.uri));
        this.answer(id, {});
        break;
      default:
        this.answer(id, {});
    }
  }

  private answer(id: string | number, result: object): void {
    this.transport?.send({ jsonrpc: '2.0', id, result }).catch(() => undefined);
  }

  private fail(id: string | number, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const text = message.replaceAll(/[0-9a-f]{32}/g, (taskId) =>
      this.host.ledger.tasks.nameOf(taskId),
    );
    this.transport
      ?.send({ jsonrpc: '2.0', id, error: { code: -32603, message: text } })
      .catch(() => undefined);
  }

  /** Returns a mark for an answer about a task. The trace shows the mark, because the id of the task differs in each run. */
  private nextMark(): string {
    const { tasks } = this.host.ledger;
    tasks.answers += 1;
    return `a${tasks.answers}`;
  }

  private async call(
    id: string | number,
    params: Record<string, unknown>,
    extra: Extra,
  ): Promise<void> {
    const { ledger, scheduler, nodeId } = this.host;
    const key = JSON.stringify(id);
    const requestId = typeof id === 'string' ? id.replace(/^anynode:/, '') : key;
    const { steps = [] } = (params.arguments ?? {}) as { steps?: ToolStep[] };
    const execution: Execution = {
      id: ledger.executions.length,
      server: this,
      sessionId: this.context.session.id,
      nodeId,
      requestId,
      key: (params._meta as { progressToken?: string } | undefined)?.progressToken ?? requestId,
      tool: String(params.name),
      at: scheduler.elapsed,
      wasStored: false,
      said: [],
      state: 'running',
      endedAt: undefined,
    };
    execution.wasStored = ledger.wasReceived(execution.sessionId, requestId, execution.key);
    ledger.executions.push(execution);
    scheduler.note(
      `${nodeId} runs ${requestId} of ${execution.sessionId} as x${execution.id} (${execution.tool})`,
    );
    let wake = (): void => undefined;
    const stop = (): void => {
      if (execution.state === 'running') {
        execution.state = 'stopped';
        execution.endedAt = scheduler.elapsed;
      }
      wake();
    };
    const running = { execution, stop };
    this.running.set(key, running);
    const token = (params._meta as { progressToken?: string } | undefined)?.progressToken;
    let task: object | undefined;
    if (params.task !== undefined) {
      try {
        task = await this.tasks.create(id, params.task as TaskWish, execution, steps);
      } catch (error) {
        if (this.running.get(key) === running) this.running.delete(key);
        if ((execution.state as string) === 'running') execution.state = 'stopped';
        execution.endedAt ??= scheduler.elapsed;
        this.fail(id, error);
        return;
      }
    }
    for (const step of task === undefined ? steps : []) {
      await new Promise<void>((resolve) => {
        let cancel = (): void => undefined;
        wake = () => {
          cancel();
          resolve();
        };
        if (execution.state !== 'running') {
          resolve();
        } else if (step.do === 'wait') {
          cancel = this.host.clock.after(step.ms, resolve);
        } else if (step.do === 'ask') {
          this.ask(id, execution).then(resolve, resolve);
        } else {
          this.say(step, id, execution, token, extra);
          resolve();
        }
      });
      // The execution may have been stopped while it waited.
      if ((execution.state as string) !== 'running') break;
    }
    if (this.running.get(key) === running) this.running.delete(key);
    if ((execution.state as string) !== 'running') return;
    execution.state = 'answered';
    execution.endedAt = scheduler.elapsed;
    const mark = `x${execution.id}.answer`;
    const bytes = steps.reduce((sum, step) => sum + (step.do === 'fill' ? step.bytes : 0), 0);
    this.note(execution, mark, true, {
      ...{ jsonrpc: '2.0', id },
      result: {
        ...{ mark, level: this.level, subscriptions: [...this.subscriptions].sort() },
        ...(task !== undefined && { task }),
        ...filling(bytes),
      },
    });
  }

  private say(
    step: ToolStep,
    id: string | number,
    execution: Execution,
    progressToken: string | undefined,
    extra: Extra,
  ): void {
    const mark = `x${execution.id}.${execution.said.length}`;
    const more = 'bytes' in step ? filling(step.bytes) : {};
    switch (step.do) {
      case 'progress': {
        this.progress += 1;
        const method = progressToken === undefined ? 'message' : 'progress';
        const params = { mark, progressToken, progress: execution.said.length + 1, ...more };
        this.note(
          execution,
          mark,
          true,
          { jsonrpc: '2.0', method: `notifications/${method}`, params },
          id,
        );
        break;
      }
      case 'log':
        this.note(
          ...([execution, mark, true] as const),
          { jsonrpc: '2.0', method: 'notifications/message', params: { mark, ...more } },
          id,
        );
        break;
      case 'announce':
        this.note(...([execution, mark, false] as const), {
          jsonrpc: '2.0',
          method: 'notifications/message',
          params: { mark, ...more },
        });
        break;
      case 'hangUp':
        extra.closeSSEStream?.();
        break;
      case 'hangUpStandalone':
        extra.closeStandaloneSSEStream?.();
        break;
      default:
    }
  }

  private note(
    execution: Execution,
    mark: string,
    related: boolean,
    message: object,
    relatedRequestId?: string | number,
  ): void {
    const said = { mark, related, at: this.host.scheduler.elapsed, outcome: 'pending' as const };
    const entry: Execution['said'][number] = said;
    execution.said.push(entry);
    const options = relatedRequestId === undefined ? {} : { relatedRequestId };
    (this.transport?.send(message, options) ?? Promise.reject(new Error('closed'))).then(
      // The promise also resolves if the notification was not delivered. Then the node has warned, but not said which one
      // of several it was.
      () => (entry.outcome = this.host.deliveryOf(entry.at)),
      () => (entry.outcome = 'failed'),
    );
  }

  private ask(id: string | number, execution: Execution): Promise<void> {
    const mark = `x${execution.id}.${execution.said.length}`;
    return this.question(mark, execution, (request) => {
      this.note(execution, mark, true, { jsonrpc: '2.0', ...request }, id);
      return Promise.resolve();
    });
  }

  /** Asks the client with the request that `put` sends. Resolves when the client has answered, or the time is up. */
  private async question(
    mark: string,
    execution: Execution,
    put: (request: ClientRequest) => Promise<void>,
  ): Promise<void> {
    const { ledger, scheduler, clock } = this.host;
    const number = this.questions;
    this.questions += 1;
    const question: Question = {
      ...{ mark, execution, at: scheduler.elapsed },
      ...{ acknowledgedAt: undefined, outcome: 'waiting', endedAt: undefined },
    };
    ledger.questions.push(question);
    await new Promise<void>((resolve) => {
      const end = (outcome: Question['outcome']): void => {
        cancelTimer();
        this.waiting.delete(number);
        question.outcome = outcome;
        question.endedAt = scheduler.elapsed;
        resolve();
      };
      const cancelTimer = clock.after(QUESTION_MS, () => {
        this.transport
          ?.send({
            ...{ jsonrpc: '2.0', method: 'notifications/cancelled' },
            params: { requestId: number, reason: 'timeout' },
          })
          .catch(() => undefined);
        end('timeout');
      });
      const settle = (answered: boolean): void => end(answered ? 'answered' : 'stopped');
      this.waiting.set(number, { mark, settle });
      const params = { mark, message: '?' };
      put({ id: number, method: 'elicitation/create', params }).catch(() => end('stopped'));
    });
  }
}

function filling(bytes: number): { text?: string } {
  return bytes === 0 ? {} : { text: 'x'.repeat(bytes) };
}
