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
  /** Where the next POST goes, instead of to the node of the GET. */
  postTo?: () => string;
  /** The answer to sampling. */
  sample?: string;
}

export interface LegacyClient {
  client: Client;
  /** As the endpoint event said; the latest. */
  sessionId: () => string;
  /** Data of log messages, and `tools` for each change of the tools. */
  heard: unknown[];
  /** Status of each POST. */
  posted: number[];
  call: (name: string, args?: Record<string, unknown>) => Promise<string>;
}

/** The official client of HTTP+SSE, its GET at one node and its POSTs at others. Closed when the test is over. */
export async function connectLegacy(
  sseUrl: string,
  { headers = {}, postTo, sample = 'sampled' }: LegacyClientOptions = {},
): Promise<LegacyClient> {
  let sessionId = '';
  const heard: unknown[] = [];
  const posted: number[] = [];
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- the transport is, and these are its clients
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
