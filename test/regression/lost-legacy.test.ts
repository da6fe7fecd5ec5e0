/**
 * A client of HTTP+SSE cannot ask again for what a failover of Redis has lost. It waited for ever: no node looked after a request
 * that the new master does not know, or whose answer only the old one knew.
 */
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import type { Backplane } from '../../src/index.js';
import type { NodeMessage } from '../../src/backplane/index.js';
import { anynode, AnynodeError, redisBackplane } from '../../src/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { listen, rawClient } from '../integration/support/serve.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { signal } from '../integration/support/signal.js';
import type { JsonRpc } from '../support/mcp-http.js';
import { answers, notification, request } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';
import { replicate } from '../support/redis-snapshot.js';

/** A backplane whose node does not get those messages of other nodes for which `isLost` returns true. */
function losing(inner: Backplane, isLost: (message: NodeMessage) => boolean): Backplane {
  return {
    join: (options) =>
      inner.join({
        ...options,
        onMessage: (message) => {
          if (!isLost(message)) options.onMessage(message);
        },
      }),
  };
}

/** Starts two nodes, and a client whose connection is on the first one. Its tool `slow` waits for `go`. */
async function pair() {
  const prefix = uniquePrefix();
  const go = signal();
  const started = signal();
  let isLost: (message: NodeMessage) => boolean = () => false;
  let mayRead = (): boolean => true;
  const tools = {
    slow: async () => {
      started.resolve();
      await go.promise;
      return 'done';
    },
  };
  const start = async () => {
    const inner = redisBackplane({ redis: redisUrl(), prefix });
    const backplane = wrappedBackplane(
      losing(inner, (message) => isLost(message)),
      (joined) => ({
        history: async (...args) => {
          if (!mayRead()) throw new AnynodeError('backplane_unavailable', 'no answer');
          return joined.history(...args);
        },
      }),
    );
    const mcp = anynode({ server: () => scriptedServer(tools), backplane });
    const url = new URL(await listen(express().use(legacySse(mcp)))).origin;
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    await mcp.ready();
    return { mcp, url };
  };
  const [a, b] = [await start(), await start()];
  const client = rawClient();
  const stream = await client.listen(`${a.url}/sse`);
  const address = (await stream.next()).data;
  const say = async (node: { url: string }, message: JsonRpc): Promise<void> => {
    (await client.post(`${node.url}${address}`, message)).expect(202);
  };
  const params = {
    ...{ protocolVersion: '2024-11-05', capabilities: {} },
    clientInfo: { name: 'raw', version: '1' },
  };
  await say(a, request('i', 'initialize', params));
  await stream.next(answers('i'));
  await say(a, notification('notifications/initialized'));
  const call = request(1, 'tools/call', { name: 'slow' });
  const snapshot = () => replicate(connectRedis(), `${prefix}:{*`);
  const lose = (which: typeof isLost): void => void (isLost = which);
  const refuseReads = (which: () => boolean): void => void (mayRead = () => !which());
  return { a, b, stream, say, call, go, started, snapshot, lose, refuseReads, prefix };
}

const LOST = { code: -32000, data: { reason: 'answer_lost' } };

it('a running request that Redis has lost ends with an error', async () => {
  const { a, stream, say, call, started, snapshot } = await pair();
  const failOver = await snapshot();
  await say(a, call);
  await started.promise;
  await failOver();
  expect((await stream.next(answers(1), 5_000)).message?.error).toMatchObject(LOST);
  await expect.poll(() => a.mcp.health().inFlight).toBe(0);
});

// The log was read once before the client was told. When Redis did not answer at that moment, the client waited for ever.
it('a running request that Redis has lost ends with an error, although Redis does not answer for a while', async () => {
  const { a, stream, say, call, started, snapshot, refuseReads } = await pair();
  const failOver = await snapshot();
  await say(a, call);
  await started.promise;
  let left = 3;
  refuseReads(() => left-- > 0);
  await failOver();
  expect((await stream.next(answers(1), 5_000)).message?.error).toMatchObject(LOST);
  expect(left).toBeLessThanOrEqual(0);
});

/**
 * The node with the client's connection asks the one that ran the request, which had seen the answer. That question was sent
 * once, so the client waited for ever if the other node had not subscribed again yet.
 */
it.each([0, 1])(
  'a request whose answer Redis has lost before it was shown ends with an error, when %i questions are lost',
  async (questions) => {
    const { a, b, stream, say, call, go, started, snapshot, lose } = await pair();
    await say(b, call);
    await started.promise;
    const failOver = await snapshot();
    lose(({ type }) => type === 'event');
    go.resolve();
    await expect.poll(() => b.mcp.health()).toMatchObject({ inFlight: 0, streams: 0 });
    let left = questions;
    lose(({ type }) => type === 'check' && left-- > 0);
    await failOver();
    expect((await stream.next(answers(1), 5_000)).message?.error).toMatchObject(LOST);
    expect(left).toBeLessThanOrEqual(0);
    expect(a.mcp.health()).toMatchObject({ status: 'ready' });
  },
);

it('a connection and its session end when Redis has lost what the connection has shown', async () => {
  const { a, b, stream, say, call, go, snapshot } = await pair();
  const failOver = await snapshot();
  go.resolve();
  await say(b, call);
  await stream.next(answers(1));
  await failOver();
  await stream.ended;
  const sessions = async (): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { id } of a.mcp.sessions.list()) ids.push(id);
    return ids;
  };
  await expect.poll(sessions).toEqual([]);
});

it('a request that Redis has lost ends with an error, although the log had expired before it', async () => {
  const { a, stream, say, call, started, snapshot, prefix } = await pair();
  const redis = connectRedis();
  // The log of a session that was quiet for longer than `retention.maxAgeMs`.
  for (const key of await redis.keys(`${prefix}:{*:events`)) await redis.del(key);
  const failOver = await snapshot();
  await say(a, call);
  await started.promise;
  await failOver();
  expect((await stream.next(answers(1), 5_000)).message?.error).toMatchObject(LOST);
});
