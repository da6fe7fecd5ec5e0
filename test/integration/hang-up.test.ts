/**
 * `closeSSEStream` and `closeStandaloneSSEStream`: a handler ends the connection of its client, which resumes later.
 */
import { describe, expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { announce, say, type ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { signal } from './support/signal.js';

const call = (id: number, name: string) => request(id, 'tools/call', { name });

describe.each(STORES)('over %s', (_, openStore) => {
  it('the handler goes on without its client, which gets the rest on any node', async () => {
    const store = openStore();
    const go = signal();
    const tools = {
      poll: async ({ extra }: ToolCall) => {
        await say(extra, 'before');
        extra.closeSSEStream?.();
        await say(extra, 'between');
        await go.promise;
        return 'done';
      },
    };
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const { sse } = await a.client.post(a.url, call(9, 'poll'));
    expect(await sse.untilEnded()).toBe('end');
    // Messages from before the end are on the stream, in order.
    expect(sse.messages[0]).toMatchObject({ params: { data: 'before' } });
    expect(sse.retries).toHaveLength(1);
    const resumed = await a.client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    go.resolve();
    await resumed.untilEnded();
    expect([...sse.messages, ...resumed.messages]).toMatchObject([
      { params: { data: 'before' } },
      { params: { data: 'between' } },
      { id: 9, result: { content: [{ text: 'done' }] } },
    ]);
  });

  it('closeStandaloneSSEStream ends the standalone stream on the node that holds it', async () => {
    const store = openStore();
    const tools = {
      away: async ({ extra, server }: ToolCall) => {
        await announce(server, 'before');
        extra.closeStandaloneSSEStream?.();
        await announce(server, 'after');
        return 'done';
      },
    };
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const listener = await a.client.listen(b.url);
    const answer = await a.client.request(a.url, 'tools/call', { name: 'away' });
    expect(answer.result).toBeDefined();
    expect(await listener.untilEnded()).toBe('end');
    expect(listener.retries).toHaveLength(1);
    const again = await a.client.listen(a.url, { lastEventId: listener.lastEventId ?? '' });
    await again.first(2 - listener.messages.length);
    const data = [...listener.messages, ...again.messages].map(({ params }) => params?.['data']);
    expect(data).toEqual(['before', 'after']);
  });
});

it.each([
  ['a client before 2025-11-25, which has no cursor yet', '2025-06-18', 'sse'],
  ['JSON mode, where there is no stream to come back to', '2025-11-25', 'json'],
] as const)('neither function exists for %s', async (_, protocolVersion, responseMode) => {
  const offered: unknown[] = [];
  const tools = {
    look: ({ extra }: ToolCall) => {
      offered.push(extra.closeSSEStream, extra.closeStandaloneSSEStream);
      return 'done';
    },
  };
  const { client, url } = await startSession({ responseMode, tools }, { protocolVersion });
  await client.request(url, 'tools/call', { name: 'look' });
  expect(offered).toEqual([undefined, undefined]);
});

it('a client without a cursor keeps its connection with `primingEvents: false`', async () => {
  const tools = {
    poll: async ({ extra }: ToolCall) => {
      extra.closeSSEStream?.();
      await say(extra, 'still here');
      return 'done';
    },
  };
  const { client, url } = await startSession({ primingEvents: false, tools });
  const { sse } = await client.post(url, call(9, 'poll'));
  await sse.untilEnded();
  expect(sse.messages).toMatchObject([{ params: { data: 'still here' } }, { id: 9 }]);
});

it('ending a connection that has ended already is no error', async () => {
  const tools = {
    poll: ({ extra }: ToolCall) => {
      extra.closeStandaloneSSEStream?.();
      return 'done';
    },
  };
  const node = await startNode({ tools });
  const { client } = await openSession(node.url);
  const answer = await client.request(node.url, 'tools/call', { name: 'poll' });
  expect(answer.result).toMatchObject({ content: [{ text: 'done' }] });
  expect(node.logged).toEqual([]);
});

// The client holds a cursor, since it resumed with one. If it were kept until the first new event, a draining node
// would wait for it.
it('a resumed stream can be ended before it has shown anything new, in every protocol version', async () => {
  const go = signal();
  const tools = {
    poll: async ({ extra }: ToolCall) => {
      await say(extra, 'before');
      await go.promise;
      return 'done';
    },
  };
  const a = await startSession({ tools, maxStreamAgeMs: 300 }, { protocolVersion: '2025-06-18' });
  const { sse } = await a.client.post(a.url, call(9, 'poll'));
  await sse.first(1);
  sse.close();
  const lastEventId = sse.lastEventId ?? '';
  const resumed = await a.client.listen(a.url, { lastEventId });
  expect(await resumed.untilEnded()).toBe('end');
  expect(resumed.messages).toEqual([]);
  expect(resumed.retries.length).toBeGreaterThan(0);
  go.resolve();
  const again = await a.client.listen(a.url, { lastEventId });
  await again.untilEnded();
  expect(again.messages).toMatchObject([{ id: 9 }]);
});
