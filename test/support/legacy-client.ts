import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { onTestFinished } from 'vitest';

export interface LegacyClientOptions {
  headers?: Record<string, string>;
  /** Returns the URL of the node that gets the next POST. Left out: the node of the GET. */
  postTo?: () => string;
  /** The text with which the client answers sampling. */
  sample?: string;
}

export interface LegacyClient {
  client: Client;
  /** Returns the session id of the last POST, which came with the endpoint event. */
  sessionId: () => string;
  /** The data of log messages, and `tools` for each notification that the tools have changed. */
  heard: unknown[];
  /** The status of each POST. */
  posted: number[];
  call: (name: string, args?: Record<string, unknown>) => Promise<string>;
}

/**
 * Connects the official client of HTTP+SSE, with its GET at one node and its POSTs at others. It is closed when the test is
 * over.
 */
export async function connectLegacy(
  sseUrl: string,
  { headers = {}, postTo, sample = 'sampled' }: LegacyClientOptions = {},
): Promise<LegacyClient> {
  let sessionId = '';
  const heard: unknown[] = [];
  const posted: number[] = [];
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- tests of the deprecated transport need its client
  const transport = new SSEClientTransport(new URL(sseUrl), {
    requestInit: { headers },
    fetch: async (url, init) => {
      if (init?.method !== 'POST') return fetch(url, init);
      const target = new URL(url);
      sessionId = target.searchParams.get('sessionId') ?? '';
      if (postTo !== undefined) target.port = new URL(postTo()).port;
      const response = await fetch(target, init);
      posted.push(response.status);
      return response;
    },
  });
  const capabilities = { elicitation: {}, sampling: {} };
  const client = new Client({ name: 'legacy', version: '1.0.0' }, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({
    action: 'accept' as const,
    content: { name: `answer to ${params.message}` },
  }));
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    ...{ model: 'm', role: 'assistant' as const },
    content: { type: 'text' as const, text: sample },
  }));
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    heard.push(params.data);
  });
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    heard.push('tools');
  });
  onTestFinished(() => client.close());
  await client.connect(transport);
  return {
    ...{ client, heard, posted },
    sessionId: () => sessionId,
    call: async (name, args = {}) => {
      const { content } = await client.callTool({ name, arguments: args });
      return (content as { text: string }[])[0]?.text ?? '';
    },
  };
}
