import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { createParser } from 'eventsource-parser';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Anynode, Backplane } from '../../src/index.js';
import type { ServerEvent } from '../../src/sdk-stores/index.js';
import { anynode, memoryBackplane, redisBackplane } from '../../src/index.js';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { eventually } from '../contract/suite/rig.js';
import { STORES } from '../integration/support/serve.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

interface Log {
  warnings: string[];
  errors: string[];
  logger: { warn(message: string): void; error(message: string): void };
}

function log(): Log {
  const [warnings, errors]: [string[], string[]] = [[], []];
  const logger = {
    warn: (message: string) => void warnings.push(message),
    error: (message: string) => void errors.push(message),
  };
  return { warnings, errors, logger };
}

function busOn(backplane: Backplane, more: { logger?: Log['logger'] } = {}) {
  const opened = sdkStores({ backplane, ...more });
  onTestFinished(() => opened.close());
  return opened.serverEventBus;
}

/** Makes a handler of the v2 SDK, as one process would have it. */
function handlerOn(backplane: Backplane) {
  const capabilities = {
    tools: { listChanged: true },
    prompts: { listChanged: true },
    resources: { listChanged: true, subscribe: true },
  };
  const server = () => new McpServer({ name: 'bus', version: '1' }, { capabilities });
  const handler = createMcpHandler(server, { bus: busOn(backplane), keepAliveMs: 0 });
  onTestFinished(() => handler.close());
  return handler;
}

interface Frame {
  id?: unknown;
  method?: string;
  params?: { uri?: string; notifications?: unknown; _meta?: Record<string, unknown> };
  result?: unknown;
}

/** Opens `subscriptions/listen`, and collects its messages as they arrive. */
async function listen(
  handler: { fetch(request: Request): Promise<Response> },
  id: number,
  notifications: Record<string, unknown>,
) {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'listener', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const response = await handler.fetch(
    new Request('http://localhost/mcp', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'subscriptions/listen',
      },
      body: JSON.stringify({
        ...{ jsonrpc: '2.0', id, method: 'subscriptions/listen' },
        params: { _meta: meta, notifications },
      }),
    }),
  );
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const frames: Frame[] = [];
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const parser = createParser({ onEvent: ({ data }) => frames.push(JSON.parse(data) as Frame) });
  const decoder = new TextDecoder();
  const ended = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
    }
  })();
  await eventually(() => {
    expect(frames[0]?.method).toBe('notifications/subscriptions/acknowledged');
  });
  return { frames, ended, cancel: () => reader.cancel() };
}

describe.each(STORES)('the bus of server events (%s)', (_name, openStore) => {
  it('gives each event to each listener, at once on this node and soon on others', async () => {
    const store = openStore();
    const [a, b] = [busOn(store()), busOn(store())];
    const [here, alsoHere, there]: [ServerEvent[], ServerEvent[], ServerEvent[]] = [[], [], []];
    a.subscribe((event) => here.push(event));
    a.subscribe((event) => alsoHere.push(event));
    b.subscribe((event) => there.push(event));
    const events: ServerEvent[] = [
      { kind: 'tools_list_changed' },
      { kind: 'prompts_list_changed', params: { _meta: { reason: 'deploy' } } },
      { kind: 'resources_list_changed' },
      { kind: 'resource_updated', uri: 'file:///a' },
    ];
    for (const event of events) a.publish(event);
    expect(here).toEqual(events);
    expect(alsoHere).toEqual(events);
    await eventually(() => {
      expect(there).toEqual(events);
    });
    // The node's own events do not come back from the backplane.
    expect(here).toEqual(events);
  });

  it('stops with unsubscribe(), which may be repeated, and the same function may listen twice', async () => {
    const store = openStore();
    const [a, b] = [busOn(store()), busOn(store())];
    const [seen, others]: [string[], string[]] = [[], []];
    const hear = ({ kind }: ServerEvent) => void seen.push(kind);
    const [off, offAgain] = [b.subscribe(hear), b.subscribe(hear)];
    b.subscribe(({ kind }) => others.push(kind));
    a.publish({ kind: 'tools_list_changed' });
    await eventually(() => {
      expect(seen).toEqual(['tools_list_changed', 'tools_list_changed']);
    });
    off();
    off();
    a.publish({ kind: 'prompts_list_changed' });
    await eventually(() => {
      expect(others).toHaveLength(2);
    });
    expect(seen).toHaveLength(3);
    offAgain();
    a.publish({ kind: 'resources_list_changed' });
    await eventually(() => {
      expect(others).toHaveLength(3);
    });
    expect(seen).toHaveLength(3);
  });

  it('gives an event to all listeners, although one unsubscribes or throws', async () => {
    const store = openStore();
    const { errors, logger } = log();
    const [a, b] = [busOn(store()), busOn(store(), { logger })];
    const seen: string[] = [];
    const off = b.subscribe(() => off());
    b.subscribe(() => {
      throw new Error('boom');
    });
    b.subscribe(({ kind }) => seen.push(kind));
    b.publish({ kind: 'tools_list_changed' });
    expect(seen).toEqual(['tools_list_changed']);
    a.publish({ kind: 'prompts_list_changed' });
    await eventually(() => {
      expect(seen).toEqual(['tools_list_changed', 'prompts_list_changed']);
    });
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain('boom');
  });

  it('carries subscriptions/listen: a change on one node is shown on all, filtered and stamped', async () => {
    const store = openStore();
    const [a, b] = [handlerOn(store()), handlerOn(store())];
    const onA = await listen(a, 1, { toolsListChanged: true });
    const onB = await listen(b, 7, {
      promptsListChanged: true,
      resourceSubscriptions: ['file:///wanted'],
    });
    a.notify.resourceUpdated('file:///other');
    a.notify.toolsChanged();
    a.notify.promptsChanged();
    a.notify.resourceUpdated('file:///wanted');
    b.notify.toolsChanged();
    await eventually(() => {
      expect(onB.frames.map(({ method }) => method)).toEqual([
        'notifications/subscriptions/acknowledged',
        'notifications/prompts/list_changed',
        'notifications/resources/updated',
      ]);
      expect(onA.frames.map(({ method }) => method)).toEqual([
        'notifications/subscriptions/acknowledged',
        'notifications/tools/list_changed',
        'notifications/tools/list_changed',
      ]);
    });
    expect(onB.frames.at(-1)?.params).toMatchObject({
      uri: 'file:///wanted',
      _meta: { 'io.modelcontextprotocol/subscriptionId': 7 },
    });
    await onA.cancel();
    // The client is told of the graceful end.
    await b.close();
    await onB.ended;
    expect(onB.frames.at(-1)).toMatchObject({ id: 7, result: { resultType: 'complete' } });
  });

  it('is on the handle of a node, and ends with it', async () => {
    const store = openStore();
    const nodes = [store(), store()].map((backplane): Anynode => {
      const node = anynode({ backplane, server: () => Promise.reject(new Error('not asked')) });
      onTestFinished(() => node.close({ drainMs: 0 }));
      return node;
    });
    const [a, b] = nodes as [Anynode, Anynode];
    const seen: string[] = [];
    b.serverEventBus.subscribe(({ kind }) => seen.push(kind));
    a.serverEventBus.publish({ kind: 'tools_list_changed' });
    await eventually(() => {
      expect(seen).toEqual(['tools_list_changed']);
    });
    await b.close({ drainMs: 0 });
    a.serverEventBus.publish({ kind: 'tools_list_changed' });
    await a.ready();
    expect(seen).toHaveLength(1);
  });
});

it('while Redis is away, a node gets its own events and warns that others do not', async () => {
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const { warnings, logger } = log();
  const opened = sdkStores({
    redis: `redis://127.0.0.1:${proxy.port}`,
    prefix: uniquePrefix(),
    commandTimeoutMs: 200,
    logger,
  });
  onTestFinished(() => opened.close());
  const seen: string[] = [];
  opened.serverEventBus.subscribe(({ kind }) => seen.push(kind));
  proxy.refuse();
  proxy.cut();
  opened.serverEventBus.publish({ kind: 'tools_list_changed' });
  expect(seen).toEqual(['tools_list_changed']);
  await eventually(() => {
    expect(warnings).toContainEqual(expect.stringContaining('tools_list_changed'));
  });
});

it('clients are told of all lists after missed events that are no longer kept', async () => {
  const prefix = uniquePrefix();
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const { warnings, logger } = log();
  const a = busOn(redisBackplane({ redis: redisUrl(), prefix }));
  const b = busOn(redisBackplane({ redis: `redis://127.0.0.1:${proxy.port}`, prefix }), { logger });
  const seen: string[] = [];
  b.subscribe((event) => seen.push(event.kind));
  a.publish({ kind: 'resource_updated', uri: 'file:///first' });
  await eventually(() => {
    expect(seen).toHaveLength(1);
  });
  proxy.refuse();
  proxy.cut();
  for (let at = 0; at < 1100; at += 1)
    a.publish({ kind: 'resource_updated', uri: `file:///${at}` });
  proxy.accept();
  await eventually(() => {
    expect(seen.slice(1, 4).sort()).toEqual([
      'prompts_list_changed',
      'resources_list_changed',
      'tools_list_changed',
    ]);
  });
  expect(warnings).toContainEqual(expect.stringContaining('missed'));
});

it('a backplane without sdkStores throws when a store is used, and not at the start', () => {
  const inner = memoryBackplane();
  const backplane: Backplane = {
    join: (options) => {
      // A backplane that was written before there were stores.
      const joined = inner.join(options);
      Object.defineProperty(joined, 'sdkStores', { value: undefined });
      return joined;
    },
  };
  const bus = busOn(backplane);
  expect(() => bus.publish({ kind: 'tools_list_changed' })).toThrow(/no room for the stores/);
  expect(() => bus.subscribe(() => undefined)).toThrow(/no room for the stores/);
});
