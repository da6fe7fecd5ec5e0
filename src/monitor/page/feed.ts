/** Where the page has its data from: its server, or the file that it is part of. */
import { mermaid } from '../../timeline/mermaid.js';
import type { EventSummary } from '../../timeline/event-summary.js';
import type {
  ClusterView,
  ExportFormat,
  Hello,
  OfflineData,
  SessionList,
  SessionView,
  StateView,
  TailEvents,
} from '../wire.js';

export interface Query {
  idPrefix?: string;
  client?: string;
  principal?: string;
  node?: string;
  protocol?: string;
  idleMs?: number;
  hasErrors?: boolean;
  sort?: string;
  reverse?: boolean;
  after?: string;
  limit?: number;
}

/** What became of an event stream: it is open, or why it is not. */
export type Condition = 'open' | { trouble: string };

export interface Feed {
  hello: Hello;
  offline: OfflineData | undefined;
  cluster(onView: (view: ClusterView) => void, onCondition: (c: Condition) => void): () => void;
  sessions(query: Query): Promise<SessionList>;
  session(id: string): Promise<SessionView | undefined>;
  tail(
    id: string,
    onEvents: (t: TailEvents) => void,
    onCondition: (c: Condition) => void,
  ): () => void;
  state(id: string, at: string): Promise<StateView | undefined>;
  export(id: string, format: ExportFormat): Promise<Blob>;
  kill(id: string): Promise<void>;
}

export async function openFeed(): Promise<Feed> {
  const data = document.getElementById('data');
  if (data !== null) return offlineFeed(JSON.parse(data.textContent) as OfflineData);
  return remoteFeed((await call('hello', {})) as Hello);
}

class CallFailed extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function post(name: string, body: object, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(`api/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  });
  if (response.ok) return response;
  const text = await response.text();
  let message = text.slice(0, 200);
  try {
    message = (JSON.parse(text) as { error: string }).error;
  } catch {
    // A proxy in front may answer with something else.
  }
  throw new CallFailed(response.status, message || `Status ${response.status}`);
}

async function call(name: string, body: object): Promise<unknown> {
  return (await post(name, body)).json();
}

function remoteFeed(hello: Hello): Feed {
  return {
    hello,
    offline: undefined,
    cluster: (onView, onCondition) =>
      subscribe(
        'cluster',
        () => ({}),
        (view) => onView(view as ClusterView),
        onCondition,
      ),
    sessions: async (query) => (await call('sessions', query)) as SessionList,
    session: async (id) =>
      ((await call('session', { session: id })) as SessionView | null) ?? undefined,
    tail(id, onEvents, onCondition) {
      let after: string | undefined;
      const take = (value: unknown): void => {
        const tail = value as TailEvents;
        after = tail.events.at(-1)?.id ?? after;
        onEvents(tail);
      };
      return subscribe('tail', () => ({ session: id, after }), take, onCondition);
    },
    state: async (id, at) => (await call('state', { session: id, at })) as StateView,
    export: async (id, format) => (await post('export', { session: id, format })).blob(),
    kill: async (id) => {
      await post('kill', { session: id });
    },
  };
}

/** Reads an event stream, and opens it again when it ends. Returns how to stop. */
function subscribe(
  name: string,
  body: () => object,
  onData: (value: unknown) => void,
  onCondition: (condition: Condition) => void,
): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  const read = async (): Promise<void> => {
    const response = await post(name, body(), signal);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    onCondition('open');
    let text = '';
    for (;;) {
      const chunk = await reader?.read();
      if (chunk === undefined || chunk.done) return;
      text += chunk.value;
      const parts = text.split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) {
        if (part.startsWith('data: ')) onData(JSON.parse(part.slice(6)));
      }
    }
  };
  const run = async (): Promise<void> => {
    for (;;) {
      try {
        await read();
        onCondition({ trouble: 'The connection to the server of this page has ended' });
      } catch (error) {
        // The page itself has stopped it.
        if (error instanceof DOMException && error.name === 'AbortError') return;
        const gone = error instanceof CallFailed && error.status === 404;
        onCondition({
          trouble:
            error instanceof CallFailed ? error.message : 'The server of this page does not answer',
        });
        if (gone) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  };
  void run();
  return () => controller.abort();
}

function offlineFeed(data: OfflineData): Feed {
  const eventsOf = (id: string): EventSummary[] =>
    data.sessions.find((session) => session.id === id)?.events ?? [];
  const nothing = (): void => undefined;
  return {
    hello: { version: '', allowKill: false, payloads: true, prefix: '' },
    offline: data,
    cluster: () => nothing,
    sessions: () =>
      Promise.resolve({ sessions: [], listed: 0, next: undefined, matched: undefined }),
    session: () => Promise.resolve(undefined),
    tail(id, onEvents, onCondition) {
      onEvents({ events: eventsOf(id), live: true });
      onCondition('open');
      return nothing;
    },
    state: () => Promise.resolve(undefined),
    export(id, format) {
      const events = eventsOf(id);
      const text =
        format === 'mermaid'
          ? mermaid(events, `session ${id.slice(0, 8)}`)
          : format === 'html'
            ? `<!doctype html>${document.documentElement.outerHTML}`
            : events.map((event) => JSON.stringify({ v: 1, session: id, ...event })).join('\n');
      return Promise.resolve(new Blob([text]));
    },
    kill: () => Promise.reject(new Error('This is a file')),
  };
}
