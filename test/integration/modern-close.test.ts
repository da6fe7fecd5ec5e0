/** What calls and subscriptions of 2026-07-28 get when their node closes. */
import { describe, expect, it } from 'vitest';
import type { Modern } from '../../src/index.js';
import { eventually } from '../contract/suite/rig.js';
import { activeResources, leftBehind } from '../support/leaks.js';
import { postModern, subscribe } from '../support/modern-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { modernOf, type ModernTool } from './support/modern.js';
import { rawClient, startNode } from './support/serve.js';
import { signal } from './support/signal.js';

describe('a node that closes', () => {
  const said = (message: string) => ({
    jsonrpc: '2.0',
    id: 'call',
    error: { code: -32000, message, data: { reason: 'node_closed' } },
  });
  const closed = said('The node that ran this request was closed');
  const call = { name: 'slow', arguments: {}, _meta: { progressToken: 'p' } };

  it('lets calls finish, and keeps subscriptions open until then', async () => {
    const finished = signal();
    const started = signal();
    const slow: ModernTool = async () => {
      started.resolve();
      await finished.promise;
      return 'done';
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const client = rawClient();
    const stream = await subscribe(client, node.url);
    const answer = postModern(client, node.url, 'call', 'tools/call', call);
    await started.promise;
    expect(node.mcp.health()).toMatchObject({ inFlight: 1, streams: 2 });
    const closing = node.mcp.close();
    await node.mcp.notify.toolsChanged();
    expect((await stream.next()).message?.method).toBe('notifications/tools/list_changed');
    finished.resolve();
    expect((await answer).json()).toMatchObject({ result: { content: [{ text: 'done' }] } });
    await closing;
    // The client is told of the graceful end.
    expect((await stream.next()).message).toMatchObject({
      ...{ id: 'listen', result: { resultType: 'complete' } },
    });
    expect(await stream.untilEnded()).toBe('end');
    expect((await postModern(client, node.url, 1, 'tools/list')).status).toBe(503);
    expect(node.mcp.health()).toMatchObject({ inFlight: 0, streams: 0 });
    expect(node.logged).toEqual([]);
  });

  it('ends calls that run too long with an error that says so, with or without earlier messages', async () => {
    let running = 0;
    const started = signal();
    const slow: ModernTool = async ({ mcpReq }) => {
      if (mcpReq._meta?.progressToken !== undefined) {
        const params = { progressToken: 'p', progress: 1 };
        await mcpReq.notify({ method: 'notifications/progress', params });
      }
      running += 1;
      if (running === 2) started.resolve();
      return new Promise<string>((_, reject) => {
        mcpReq.signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const client = rawClient();
    const silent = postModern(client, node.url, 'call', 'tools/call', {
      name: 'slow',
      arguments: {},
    });
    const { sse } = await postModern(client, node.url, 'call', 'tools/call', call);
    await started.promise;
    await node.mcp.close({ drainMs: 0 });
    expect((await silent).expect(200).json()).toEqual(closed);
    await sse.untilEnded();
    expect(sse.messages).toMatchObject([{ method: 'notifications/progress' }, closed]);
    expect(node.logged).toEqual([]);
  });

  it('adds nothing to a call that was answered', async () => {
    const returns = signal();
    const slow: ModernTool = async ({ mcpReq }) => {
      const params = { progressToken: 'p', progress: 1 };
      await mcpReq.notify({ method: 'notifications/progress', params });
      returns.resolve();
      return 'x'.repeat(5_000_000);
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const { sse } = await postModern(rawClient(), node.url, 'call', 'tools/call', call);
    // The answer waits for a slow reader when the node closes.
    sse.pause();
    await returns.promise;
    await new Promise((resolve) => setTimeout(resolve, 100));
    const closing = node.mcp.close({ drainMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    sse.resume();
    await closing;
    await sse.untilEnded();
    expect(sse.messages.map(({ id, result }) => [id, result !== undefined])).toEqual([
      [undefined, false],
      ['call', true],
    ]);
  });

  it('refuses a subscription whose server is built too late', async () => {
    const building = signal();
    const started = signal();
    const modern = modernOf({}, () => {
      started.resolve();
      return building.promise;
    });
    const node = await startNode({ modern, commandTimeoutMs: 100 });
    const client = rawClient();
    const params = { notifications: { toolsListChanged: true } };
    const answer = postModern(client, node.url, 1, 'subscriptions/listen', params);
    await started.promise;
    await node.mcp.close({ drainMs: 0 });
    building.resolve();
    expect((await answer).status).toBe(503);
    expect(node.logged).toEqual([]);
  });

  it('leaves no subscription, socket or timer behind', async () => {
    const before = activeResources();
    const store = redisUrl();
    const prefix = uniquePrefix();
    const { mcp, url } = await startNode({ redis: store, prefix, modern: modernOf() });
    const client = rawClient();
    const stream = await subscribe(client, url);
    const redis = connectRedis();
    const listening = async (): Promise<unknown> => {
      const [, count] = (await redis.call('PUBSUB', 'NUMSUB', `${prefix}:broadcasts`)) as unknown[];
      return count;
    };
    await eventually(async () => expect(await listening()).toBe(1));
    await mcp.close({ drainMs: 0 });
    await stream.ended;
    // Redis notices the end of a connection later. The node does not wait for that.
    await eventually(async () => expect(await listening()).toBe(0));
    client.close();
    redis.disconnect();
    const { TCPServerWrap: _server, ...left } = await leftBehind(before);
    expect(left).toEqual({});
  });

  it('has closed although its handler throws on close', async () => {
    const close = () => Promise.reject(new Error('not now'));
    const node = await startNode({
      modern: (parts) => {
        const given = modernOf()?.(parts) as Modern;
        return { ...given, handler: { ...given.handler, close } };
      },
    });
    await node.mcp.close({ drainMs: 0 });
    expect(node.logged).toEqual([expect.stringContaining('not now')]);
  });
});
