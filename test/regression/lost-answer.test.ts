/**
 * A failover of Redis may lose an answer that was stored, though the node that gave it lives: it is done with the request,
 * and the new master thinks that it runs. A client that comes back to the stream then waited for ever.
 */
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { replicate } from '../support/redis-snapshot.js';
import { answers, request } from '../support/mcp-http.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { memoryBackplane, redisBackplane } from '../../src/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';

it.each(['the node that gave it', 'another node'])(
  'an answer that Redis has lost becomes an error for a client that resumes on %s',
  async (where) => {
    const prefix = uniquePrefix();
    const backplane = () => redisBackplane({ redis: redisUrl(), prefix });
    const go = signal();
    const tools = {
      slow: async () => {
        await go.promise;
        return 'done';
      },
    };
    const a = await startNode({ backplane: backplane(), tools });
    const b = await startNode({ backplane: backplane(), tools });
    const { client } = await openSession(a.url);
    const id = client.nextId();
    const { sse } = await client.post(a.url, request(id, 'tools/call', { name: 'slow' }));
    await expect.poll(() => sse.lastEventId).toBeDefined();
    sse.close();
    await expect.poll(() => a.mcp.health().streams).toBe(0);

    // What a replica had that did not get the last write.
    const redis = new Redis(redisUrl());
    const keys = await redis.keys(`${prefix}:{*`);
    const dumps = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
    go.resolve();
    await expect.poll(() => a.mcp.health().inFlight).toBe(0);
    await expect
      .poll(async () =>
        (await redis.hkeys(keys.find((key) => key.endsWith(':streams')) ?? '')).join(),
      )
      .not.toContain('r:');
    await Promise.all(keys.map((key, at) => redis.restore(key, 0, dumps[at] ?? '', 'REPLACE')));
    redis.disconnect();

    const node = where === 'another node' ? b : a;
    const resumed = await client.listen(node.url, { lastEventId: sse.lastEventId ?? '' });
    const { message } = await resumed.next(answers(id));
    expect(message?.error).toEqual({
      code: -32000,
      message: 'The answer to this request was lost',
      data: { reason: 'answer_lost' },
    });
    await resumed.untilEnded();
  },
);

// The handler ran on until it said something, which no client could hear. The client of a JSON response got an empty list.
it.each(['sse', 'json'] as const)(
  'a call whose stream Redis has lost is aborted, and its client hears so: %s',
  async (responseMode) => {
    const prefix = uniquePrefix();
    const started = signal();
    const tools = {
      slow: async () => {
        started.resolve();
        await signal().promise;
        return 'done';
      },
    };
    const backplane = redisBackplane({ redis: redisUrl(), prefix });
    const { url, mcp } = await startNode({ backplane, tools, responseMode });
    const { client } = await openSession(url);
    const failOver = await replicate(connectRedis(), `${prefix}:{*`);
    const posted = client.post(url, request(70, 'tools/call', { name: 'slow' }));
    await started.promise;
    await failOver();
    const response = await posted;
    if (responseMode === 'sse') await response.sse.untilEnded();
    else
      expect(response.json()).toMatchObject({ id: 70, error: { data: { reason: 'answer_lost' } } });
    await expect.poll(() => mcp.health().inFlight).toBe(0);
  },
);

// Large answers wait for turns of the event loop of their own. A node that was asked meanwhile whether it still runs the requests
// took those that waited for lost, and ended their requests with that error before them.
it('an answer that waits to be stored is not taken for a lost one', async () => {
  const shared = memoryBackplane();
  let hear: (...args: Parameters<JoinOptions['onMessage']>) => void = () => undefined;
  let stream = '';
  const backplane = {
    join(options: JoinOptions) {
      hear = (...args) => options.onMessage(...args);
      const joined = shared.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = (step) => {
        for (const each of step.operations) if (each.type === 'open') stream = each.stream;
        return commit(step);
      };
      return joined;
    },
  };
  let begun = 0;
  const [all, last] = [signal(), signal()];
  let sessionId = '';
  const large = async (): Promise<CallToolResult> => {
    begun += 1;
    if (begun === 3) all.resolve();
    await all.promise;
    let isFirst = true;
    const toJSON = (): object => {
      // As another node does that shows the stream.
      if (isFirst) hear({ type: 'check', streams: [{ sessionId, stream }] });
      isFirst = false;
      return { text: 'x'.repeat(300_000) };
    };
    return { content: [], structuredContent: { toJSON } };
  };
  const slow = async (): Promise<string> => {
    await last.promise;
    return 'done';
  };
  const { url, mcp } = await startNode({ backplane, responseMode: 'json', tools: { large, slow } });
  const session = await openSession(url, { protocolVersion: '2025-03-26' });
  ({ sessionId } = session);
  const names = ['large', 'large', 'large', 'slow'];
  const batch = names.map((name, at) => request(100 + at, 'tools/call', { name }));
  const posted = session.client.post(url, batch);
  await expect.poll(() => mcp.health().inFlight).toBe(1);
  last.resolve();
  const result: unknown = expect.anything();
  expect((await posted).json()).toMatchObject(batch.map(({ id }) => ({ id, result })));
});
