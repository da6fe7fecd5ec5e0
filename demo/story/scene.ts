import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  type LoggingMessageNotification,
} from '@modelcontextprotocol/sdk/types.js';
import { Inbox } from './inbox.js';
import type { Exchange, Route } from './route.js';

/** What the client says when it is asked; the steps look for it in the results. */
export const USER_NAME = 'Ada';
export const MODEL_TEXT = 'Forty-two, says the model.';

/** The official SDK's client with one session, and everything that has reached it. */
export class Scene {
  readonly client = new Client(
    { name: 'story', version: '1.0.0' },
    { capabilities: { sampling: {}, elicitation: {} } },
  );
  readonly transport: StreamableHTTPClientTransport;
  readonly logged = new Inbox<LoggingMessageNotification['params']>();
  readonly updated = new Inbox<string>();
  /** The letter of the node that answered `initialize`. */
  birthplace = '?';

  constructor(
    readonly route: Route,
    readonly patienceMs: number,
  ) {
    this.transport = new StreamableHTTPClientTransport(new URL(route.url), { fetch: route.fetch });
    const { client } = this;
    client.setRequestHandler(ElicitRequestSchema, () => ({
      action: 'accept',
      content: { username: USER_NAME, email: 'ada@example.com' },
    }));
    client.setRequestHandler(CreateMessageRequestSchema, () => ({
      model: 'story',
      role: 'assistant',
      content: { type: 'text', text: MODEL_TEXT },
    }));
    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      this.logged.push(params);
    });
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
      this.updated.push(params.uri);
    });
  }

  async connect(): Promise<void> {
    const from = this.route.exchanges.items.length;
    await this.client.connect(this.transport, { timeout: this.patienceMs });
    this.birthplace = this.route.exchanges.items[from]?.node ?? '?';
  }

  /** Calls a tool; gives its text and the node that ran it. */
  async call(
    name: string,
    args: Record<string, unknown> = {},
    signal?: AbortSignal,
  ): Promise<{ text: string; node: string }> {
    const from = this.route.exchanges.items.length;
    const result = await this.client.request(
      { method: 'tools/call', params: { name, arguments: args } },
      CallToolResultSchema,
      { timeout: this.patienceMs, ...(signal && { signal }) },
    );
    const [content] = result.content;
    const text = content?.type === 'text' ? content.text : '';
    if (result.isError) throw new Error(`${name} failed: ${text}`);
    return { text, node: this.since(from, 'request')?.node ?? '?' };
  }

  /** The first exchange of a kind from a point in the timeline on. */
  since(from: number, kind: Exchange['kind']): Exchange | undefined {
    return this.route.exchanges.items.slice(from).find((exchange) => exchange.kind === kind);
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}
