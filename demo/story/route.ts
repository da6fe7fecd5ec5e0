import { cutAfter } from './cut.js';
import { Inbox } from './inbox.js';

/** What an HTTP request of the client is for. The story sends some kinds to a node of its choice. */
export type Kind = 'request' | 'answer' | 'notification' | 'listen' | 'resume' | 'delete';

/** One HTTP request and who answered it. */
export interface Exchange {
  kind: Kind;
  /** As the timeline shows it: `POST tools/call count`. */
  label: string;
  /** The node's letter, or `?` where no node has signed the response. */
  node: string;
  status: number;
}

interface Message {
  id?: unknown;
  method?: string;
  params?: { name?: string; uri?: string };
}

/**
 * The client's `fetch`: sends requests to the one URL that a client knows, notes which node answered, and, where a
 * step of the story asks for it, sends a kind of request to one node's own address instead, or cuts a stream.
 */
export class Route {
  readonly exchanges = new Inbox<Exchange>();
  readonly #letters = new Map<string, string>();
  readonly #urls = new Map<string, string>();
  #pins: Partial<Record<Kind, string>> = {};
  #cutAfter: number | undefined;

  /** Sends requests to `url` if no step of the story has chosen another node for their kind. */
  constructor(public url: string) {}

  /** Learns the nodes' letters: a response to anything, even a refusal, carries its node's name. */
  async meet(nodeUrls: readonly string[]): Promise<void> {
    for (const url of nodeUrls) {
      const response = await fetch(url, { headers: { accept: 'text/event-stream' } });
      await response.body?.cancel();
      this.#urls.set(this.#letter(response), url);
    }
  }

  /** The address of the node of this letter. */
  urlOf(letter: string): string | undefined {
    return this.#urls.get(letter);
  }

  /** The address of a node that is not the one of this letter; `undefined` (no pin) if none is known. */
  other(letter: string): string | undefined {
    for (const [known, url] of this.#urls) if (known !== letter) return url;
    return undefined;
  }

  /** The nodes' own addresses, or the one URL if they are not known. */
  get nodeUrls(): string[] {
    return this.knowsNodes ? [...this.#urls.values()] : [this.url];
  }

  get knowsNodes(): boolean {
    return this.#urls.size > 1;
  }

  /** Runs something while requests of the given kinds go to the given nodes. */
  async pinned<T>(
    pins: Partial<Record<Kind, string | undefined>>,
    run: () => Promise<T>,
  ): Promise<T> {
    const set = Object.entries(pins).filter(([, url]) => url !== undefined);
    this.#pins = Object.fromEntries(set);
    try {
      return await run();
    } finally {
      this.#pins = {};
    }
  }

  /** The stream of the next call breaks off after so many messages, as if the network had dropped it. */
  cutNextCallAfter(messages: number): void {
    this.#cutAfter = messages;
  }

  readonly fetch = async (_url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const { kind, label } = describe(init);
    const messages = kind === 'request' ? this.#cutAfter : undefined;
    if (messages !== undefined) this.#cutAfter = undefined;

    const response = await fetch(this.#pins[kind] ?? this.url, init);
    this.exchanges.push({ kind, label, node: this.#letter(response), status: response.status });
    return messages === undefined ? response : cutAfter(response, messages);
  };

  /** Nodes are called A, B, C … in the order in which they are met. */
  #letter(response: Response): string {
    const id = response.headers.get('x-anynode-node');
    if (id === null) return '?';
    const letter = this.#letters.get(id) ?? String.fromCharCode(65 + this.#letters.size);
    this.#letters.set(id, letter);
    return letter;
  }
}

function describe(init: RequestInit): { kind: Kind; label: string } {
  if (init.method === 'DELETE') return { kind: 'delete', label: 'DELETE' };
  if (init.method === 'GET') {
    return new Headers(init.headers).has('last-event-id')
      ? { kind: 'resume', label: 'GET with Last-Event-ID' }
      : { kind: 'listen', label: 'GET' };
  }
  const message = JSON.parse(init.body as string) as Message;
  if (message.method === undefined) {
    return { kind: 'answer', label: `POST answer to ${String(message.id)}` };
  }
  const subject = message.params?.name ?? message.params?.uri ?? '';
  return {
    kind: message.id === undefined ? 'notification' : 'request',
    label: `POST ${message.method} ${subject}`.trim(),
  };
}
