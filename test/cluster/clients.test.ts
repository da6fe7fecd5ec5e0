import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startNginx, type Nginx } from '../rig/nginx.js';
import { Happenings } from './support/happenings.js';
import { useCluster } from './support/cluster.js';

/** The official clients as their users have them, through one URL behind which each request goes to the next node. */
const cluster = useCluster();

let nginx: Nginx;
beforeAll(async () => {
  nginx = await startNginx({ upstreams: cluster.processes.map(({ port }) => port) });
});
afterAll(() => nginx.stop());

/** What a test needs of a client of either line. */
interface AnyClient {
  connect: () => Promise<void>;
  sessionId: () => string;
  call: (
    name: string,
    args?: Record<string, unknown>,
    options?: { signal?: AbortSignal; onprogress?: (progress: { progress: number }) => void },
  ) => Promise<string>;
  setLevel: (level: 'error') => Promise<unknown>;
  subscribe: (uri: string) => Promise<unknown>;
  terminate: () => Promise<void>;
  close: () => Promise<void>;
}

const capabilities = { elicitation: {}, sampling: {}, roots: {} };
const elicited = { action: 'accept' as const, content: { name: 'Ada' } };
const sampled = {
  model: 'm',
  role: 'assistant' as const,
  content: { type: 'text' as const, text: 'sampled' },
};
const roots = { roots: [{ uri: 'file:///here' }] };

type Notified = (what: string) => void;

const textOf = (result: unknown): string =>
  (result as { content: { text: string }[] }).content[0]?.text ?? '';

function clientV1(url: string, notified: Notified): AnyClient {
  const client = new ClientV1({ name: 'v1', version: '1.0.0' }, { capabilities });
  const transport = new TransportV1(new URL(url));
  client.setRequestHandler(ElicitRequestSchema, () => elicited);
  client.setRequestHandler(CreateMessageRequestSchema, () => sampled);
  client.setRequestHandler(ListRootsRequestSchema, () => roots);
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) =>
    notified(`said: ${String(params.data)}`),
  );
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) =>
    notified(`updated: ${params.uri}`),
  );
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => notified('tools'));
  return {
    connect: () => client.connect(transport),
    sessionId: () => transport.sessionId ?? '',
    call: async (name, args = {}, options = {}) =>
      textOf(await client.callTool({ name, arguments: args }, undefined, options)),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (uri) => client.subscribeResource({ uri }),
    terminate: () => transport.terminateSession(),
    close: () => client.close(),
  };
}

function clientV2(url: string, notified: Notified): AnyClient {
  const client = new ClientV2({ name: 'v2', version: '1.0.0' }, { capabilities });
  const transport = new TransportV2(new URL(url));
  client.setRequestHandler('elicitation/create', () => elicited);
  client.setRequestHandler('sampling/createMessage', () => sampled);
  client.setRequestHandler('roots/list', () => roots);
  client.setNotificationHandler('notifications/message', ({ params }) =>
    notified(`said: ${String(params.data)}`),
  );
  client.setNotificationHandler('notifications/resources/updated', ({ params }) =>
    notified(`updated: ${params.uri}`),
  );
  client.setNotificationHandler('notifications/tools/list_changed', () => notified('tools'));
  return {
    connect: () => client.connect(transport),
    sessionId: () => transport.sessionId ?? '',
    call: async (name, args = {}, options = {}) =>
      textOf(await client.callTool({ name, arguments: args }, options)),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (uri) => client.subscribeResource({ uri }),
    terminate: () => transport.terminateSession(),
    close: () => client.close(),
  };
}

describe.each([
  ['the v1 client', clientV1],
  ['the v2 client', clientV2],
] as const)('%s through round robin', (_name, build) => {
  it.each([
    ['SSE', 'sse'],
    ['JSON', 'json'],
  ] as const)('sees one server (%s)', async (_mode, responseMode) => {
    const nodes = await cluster.mount({ responseMode, parsed: responseMode === 'json' });
    const [born, other, third] = nodes;
    const happenings = new Happenings();
    const client = build(`${nginx.url}/${born.mount}`, (what) => happenings.happened(what));
    await client.connect();
    onTestFinished(() => client.close());
    const sessionId = client.sessionId();

    const served = new Set<string>();
    for (let call = 0; call < 6; call++) {
      const { nodeId } = JSON.parse(await client.call('whoami')) as { nodeId: string };
      served.add(nodeId);
    }
    expect([...served].sort()).toEqual(nodes.map(({ nodeId }) => nodeId).sort());

    const [asked, sampledText, listed] = await Promise.all([
      client.call('elicit', { message: 'name?' }),
      client.call('sample', { text: 'hello?' }),
      client.call('roots'),
    ]);
    expect(JSON.parse(asked)).toMatchObject(elicited);
    expect(JSON.parse(sampledText)).toMatchObject(sampled);
    expect(JSON.parse(listed)).toMatchObject(roots);
    expect(JSON.parse(await client.call('survey', { count: 6 }))).toHaveLength(6);

    const progress: number[] = [];
    const onprogress = (step: { progress: number }): void => void progress.push(step.progress);
    expect(await client.call('progress', { steps: 3 }, { onprogress })).toBe('progress: done');
    // In JSON mode the notification comes on another connection than the answer, which may arrive first and end the
    // call.
    if (responseMode === 'sse') expect(progress).toEqual([1, 2, 3]);

    for (const node of nodes) {
      await node.call('notify', { sessionId, data: node.nodeId });
      await happenings.until(`said: ${node.nodeId}`);
    }
    await client.subscribe('test://one');
    await other.call('resourceUpdated', { uri: 'test://one' });
    await third.call('resourceUpdated', { uri: 'test://two' });
    await happenings.until('updated: test://one');
    await client.setLevel('error');
    await client.call('log', { level: 'info', data: 'hidden' });
    await client.call('log', { level: 'error', data: 'shown' });
    await happenings.until('said: shown');
    await born.call('toolsChanged');
    await happenings.until('tools');

    const controller = new AbortController();
    const call = client.call('hold', { key: sessionId }, { signal: controller.signal });
    const refused = expect(call).rejects.toThrow();
    const aborted = Promise.race(nodes.map((node) => node.until(`aborted:${sessionId}`)));
    await Promise.race(nodes.map((node) => node.until(`held:${sessionId}`)));
    controller.abort();
    await Promise.all([refused, aborted]);

    await client.terminate();
    for (const node of nodes) {
      expect(await node.call('session', { sessionId })).toBeUndefined();
    }
    for (const what of ['said: shown', 'updated: test://one', 'tools']) {
      expect(happenings.count(what), what).toBe(1);
    }
    expect(happenings.count('said: hidden')).toBe(0);
    expect(happenings.count('updated: test://two')).toBe(0);
  });
});
