import { setTimeout as delay } from 'node:timers/promises';
import type { Happenings } from './happenings.js';

/** What the low-level servers of both SDK lines have in common. */
export interface BareServer {
  notification(notification: Notification): Promise<void>;
  /** Passes only what the session's log level lets through. */
  sendLoggingMessage(params: LogParams, sessionId?: string): Promise<void>;
  // These three throw where the client has not declared the capability.
  elicitInput(params: object, options?: AskOptions): Promise<unknown>;
  createMessage(params: object, options?: AskOptions): Promise<unknown>;
  listRoots(params?: object, options?: AskOptions): Promise<unknown>;
}

export interface Notification {
  method: string;
  params?: Record<string, unknown>;
}

interface LogParams {
  level: 'debug' | 'info' | 'warning' | 'error';
  data: unknown;
}

export interface AskOptions {
  relatedRequestId?: string | number;
  onprogress?: (progress: { progress: number }) => void;
}

/** One call of a tool, as the SDKs' handlers see it. */
export interface Call {
  server: BareServer;
  nodeId: string;
  sessionId: string;
  requestId: string | number;
  progressToken: string | number | undefined;
  clientId: string | undefined;
  signal: AbortSignal;
  /** What this replica's own handler of `resources/subscribe` knows. */
  subscriptions: ReadonlySet<string>;
  happenings: Happenings;
  /** On the stream of the call. */
  notify: (notification: Notification) => Promise<void>;
}

/** A call that stays until the test lets it go. */
export interface Held {
  call: Call;
  release: (text: string) => void;
}

/** By the key that the test gave it. Calls of all mounts of the process. */
export const held = new Map<string, Held>();

export function logNotification(data: unknown): Notification {
  return { method: 'notifications/message', params: { level: 'info', data } };
}

export const elicitation = (message: string): object => ({
  message,
  requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
});

export const sampling = (text: string): object => ({
  messages: [{ role: 'user', content: { type: 'text', text } }],
  maxTokens: 10,
});

const counts = new WeakMap<object, number>();

type Args = Record<string, unknown>;

/** Returns the annotations of a tool. */
export function annotationsOfTool(name: string) {
  return { readOnlyHint: name === 'look' };
}

/** The tools of the test server. Each returns the text of its result; objects come as JSON. */
export const tools: Record<string, (args: Args, call: Call) => Promise<unknown>> = {
  echo: ({ text }) => Promise.resolve(text),

  /** The same, annotated as a tool that changes nothing. */
  look: ({ text }) => Promise.resolve(text),

  whoami: (_args, { nodeId, sessionId, clientId }) =>
    Promise.resolve({ nodeId, sessionId, clientId }),

  /** Counts in this server object: 1, 2, 3 and so on. */
  next(_args, { server, nodeId }) {
    const count = (counts.get(server) ?? 0) + 1;
    counts.set(server, count);
    return Promise.resolve({ count, nodeId });
  },

  /** What it was given, in short. */
  length: ({ text }, { clientId }) =>
    Promise.resolve({ length: (text as string).length, clientId }),

  subscriptions: (_args, { subscriptions }) => Promise.resolve([...subscriptions].sort()),

  /** Counts aloud, a number every `ms`. */
  async count({ steps, ms }, { notify, signal, happenings }) {
    signal.addEventListener('abort', () => happenings.happened('aborted'));
    for (let step = 1; step <= Number(steps); step++) {
      await delay(Number(ms), undefined, { signal });
      await notify(logNotification(step));
    }
    return `counted to ${String(steps)}`;
  },

  /** Stays until the test calls `release`; meanwhile `say` makes it talk. */
  async hold({ key }, call) {
    const name = String(key);
    const { signal, happenings } = call;
    return new Promise<string>((resolve, reject) => {
      held.set(name, { call, release: resolve });
      signal.addEventListener('abort', () => {
        happenings.happened(`aborted:${name}`);
        reject(new Error('aborted'));
      });
      happenings.happened(`held:${name}`);
    }).finally(() => held.delete(name));
  },

  elicit: ({ message }, { server, requestId }) =>
    server.elicitInput(elicitation(String(message)), { relatedRequestId: requestId }),

  sample: ({ text }, { server, requestId }) =>
    server.createMessage(sampling(String(text)), { relatedRequestId: requestId }),

  roots: (_args, { server, requestId }) =>
    server.listRoots(undefined, { relatedRequestId: requestId }),

  /** Asks so many times at once; the answers come in the order of the questions. */
  survey: ({ count }, { server, requestId }) =>
    Promise.all(
      Array.from({ length: Number(count) }, (_, at) =>
        server.elicitInput(elicitation(`question ${at}`), { relatedRequestId: requestId }),
      ),
    ),

  /** Asks, and returns the progress that the client reported before it answered. */
  async patient({ text }, { server, requestId }) {
    const seen: number[] = [];
    await server.createMessage(sampling(String(text)), {
      relatedRequestId: requestId,
      onprogress: ({ progress }) => void seen.push(progress),
    });
    return seen;
  },

  async progress({ steps }, { notify, progressToken }) {
    for (let progress = 1; progress <= Number(steps); progress++) {
      await notify({ method: 'notifications/progress', params: { progressToken, progress } });
    }
    return 'progress: done';
  },

  /** A log message outside of the call, as far as the session's level lets it through. */
  async log({ level, data = level }, { server, sessionId }) {
    await server.sendLoggingMessage({ level: level as LogParams['level'], data }, sessionId);
    return 'logged';
  },
};
