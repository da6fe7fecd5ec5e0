/** Clients that do not read what is sent to them: half-open sockets, and readers that never read. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { openSession, startNode, type TestNode } from './support/serve.js';

const MESSAGE_BYTES = 100_000;

const message = (data: string) => ({
  method: 'notifications/message' as const,
  params: { level: 'info' as const, data },
});

/** Opens a GET as bytes, by a client that reads the head of the answer and nothing more. */
async function rawGet(port: number, sessionId: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.write(
    `GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nmcp-session-id: ${sessionId}\r\n\r\n`,
  );
  await once(socket, 'data');
  socket.pause();
  return socket;
}

const portOf = (url: string): number => Number(new URL(url).port);

/** Sends more than sockets and the kernel hold. */
async function flood(
  { mcp }: TestNode,
  sessionId: string,
  afterEach = (): void => undefined,
): Promise<void> {
  for (let at = 0; at < 150; at += 1) {
    await mcp.session(sessionId).notify(message(`${at} ${'x'.repeat(MESSAGE_BYTES)}`));
    afterEach();
  }
}

it.each(['does not read', 'was cut off without a word'])(
  'the connection of a client that %s is ended after `stalledMs`, and not before',
  async (how) => {
    const stalledMs = 400;
    const ended = await startNode({ limits: { stalledMs } });
    // The twin: only the limit ends it.
    const kept = await startNode({ limits: { stalledMs: 0 } });
    for (const node of [ended, kept]) {
      const { client, sessionId } = await openSession(node.url);
      const proxy = await startTcpProxy({ target: { port: portOf(node.url) } });
      onTestFinished(() => proxy.stop());
      const socket = await rawGet(proxy.port, sessionId);
      if (how !== 'does not read') {
        proxy.stall();
        socket.resume();
      }
      const began = performance.now();
      const look = (): void => {
        const { streams } = node.mcp.health();
        // A busy machine may take longer than that to send all of it.
        if (node === kept || performance.now() - began < stalledMs) expect(streams).toBe(1);
      };
      look();
      await flood(node, sessionId, look);
      expect(await client.request(node.url, 'ping')).toMatchObject({ result: {} });
    }
    await expect.poll(() => ended.mcp.health().streams, { timeout: 10_000 }).toBe(0);
    expect(kept.mcp.health().streams).toBe(1);
    expect([ended.logged, kept.logged]).toEqual([[], []]);
  },
);

it('a client that reads slowly, or has nothing to read, keeps its connection', async () => {
  const stalledMs = 1_500;
  const node = await startNode({ limits: { stalledMs }, keepAliveMs: 0 });
  const { sessionId } = await openSession(node.url);
  const idle = await openSession(node.url);
  const quiet = await idle.client.listen(node.url);
  const socket = await rawGet(portOf(node.url), sessionId);
  const flooded = flood(node, sessionId);
  // Reading all of it takes some seconds, in which some of it always waits.
  let received = 0;
  const began = performance.now();
  while (received < 150 * MESSAGE_BYTES) {
    const chunk = socket.read() as Buffer | null;
    received += chunk?.length ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (socket.destroyed) break;
  }
  expect(received).toBeGreaterThanOrEqual(150 * MESSAGE_BYTES);
  expect(performance.now() - began).toBeGreaterThan(2 * stalledMs);
  await flooded;
  await node.mcp.session(idle.sessionId).notify(message('still there'));
  expect((await quiet.next()).message?.params).toMatchObject({ data: 'still there' });
  expect(node.mcp.health().streams).toBe(2);
});
