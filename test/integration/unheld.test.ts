/** Promises that nobody looks at: Node ends the process of one that rejects, and all sessions with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { redisBackplane } from '../../src/index.js';
import { notification, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { signal } from './support/signal.js';
import { scriptedServer, type ToolCall } from './support/scripted-server.js';
import { startSession } from './support/serve.js';

/** Fails where something rejects meanwhile that Node would end the process for. */
async function withoutRejections(what: () => Promise<void>): Promise<void> {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', onRejection);
  try {
    await what();
    await sleep(20);
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  expect(rejections).toEqual([]);
}

const call = (id: number, name: string) => request(id, 'tools/call', { name, arguments: {} });

it.each([
  ['after its call was cancelled', { progressToken: 1, progress: 1 }],
  ['that is no JSON', { progressToken: 1, progress: 1, odd: 1n }],
])('a notification %s is said in the log, and nothing else', async (what, params) => {
  const [begun, go, over] = [signal(), signal(), signal()];
  const tools = {
    chatty: async ({ extra, server }: ToolCall) => {
      begun.resolve();
      if (what.includes('cancelled')) await go.promise;
      const { requestId: relatedRequestId } = extra;
      void server.notification({ method: 'notifications/progress', params }, { relatedRequestId });
      await sleep(20);
      over.resolve();
      return 'done';
    },
  };
  const { client, url, logged } = await startSession({ tools });
  await withoutRejections(async () => {
    const posted = client.post(url, call(50, 'chatty'));
    await begun.promise;
    if (what.includes('cancelled')) {
      await client.post(url, notification('notifications/cancelled', { requestId: 50 }));
      await (await posted).sse.untilEnded();
    }
    go.resolve();
    await over.promise;
  });
  expect(logged).toEqual([expect.stringContaining('notifications/progress was not delivered')]);
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
});

it('a server that is discarded may go on talking, which is said once', async () => {
  const built: Server[] = [];
  const server = () => {
    const made = scriptedServer({});
    built.push(made);
    return made;
  };
  const { client, url, logged } = await startSession({ server });
  (await client.delete(url)).expect(200);
  await expect.poll(() => built[0]?.transport).toBeUndefined();
  await withoutRejections(async () => {
    for (let at = 0; at < 3; at += 1) {
      void built[0]?.sendLoggingMessage({ level: 'info', data: 'late' });
      void built[0]?.sendToolListChanged();
    }
    await sleep(0);
  });
  expect(logged.filter((text) => text.includes('after it was closed'))).toHaveLength(1);
});

it('while Redis is away, what is sent in passing is said in the log; who waits hears of it', async () => {
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(() => proxy.stop());
  const { port } = proxy;
  const redis = `redis://127.0.0.1:${port}`;
  const backplane = redisBackplane({ redis, prefix: uniquePrefix() });
  const { mcp, sessionId, logged } = await startSession({ backplane, commandTimeoutMs: 200 });
  proxy.stall();
  const handle = mcp.session(sessionId);
  const schema = { parse: (value: unknown) => value };
  await withoutRejections(async () => {
    void mcp.notify.toolsChanged();
    void handle.notify({ method: 'notifications/message', params: { level: 'info', data: 'x' } });
    void handle.request({ method: 'ping' }, schema, { timeout: 100 });
    void handle.state.set(1);
    void handle.state.get();
    void handle.state.update(() => 1);
    void mcp.sessions.delete(sessionId);
    void mcp.sessions.get(sessionId);
    void mcp.sessions.stateAt(sessionId);
    await expect(mcp.notify.toolsChanged()).rejects.toMatchObject({
      code: 'backplane_unavailable',
    });
    await expect(handle.state.get()).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await sleep(300);
  });
  expect(logged.join()).toContain('not all sessions were told');
  expect(logged.join()).toContain('notifications/message was not delivered');
  proxy.resume();
});
