/** The queue of a task while Redis is away. */
import { expect, it, onTestFinished } from 'vitest';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

// The SDK clears the queue of a task that has ended or was cancelled, and does not wait for that: the rejection was nobody's,
// so that a blip of Redis in that moment ended the process.
it('clearing the queue logs an error and resolves, and other calls reject', async () => {
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const warnings: string[] = [];
  const logger = { warn: (text: string) => warnings.push(text), error: () => undefined };
  const opened = sdkStores({
    ...{ redis: `redis://127.0.0.1:${proxy.port}`, prefix: uniquePrefix() },
    ...{ commandTimeoutMs: 1_000, logger },
  });
  onTestFinished(() => opened.close());
  const { taskMessageQueue: queue } = opened;
  const message = { jsonrpc: '2.0', method: 'x' } as const;
  await queue.enqueue('t', { type: 'notification', timestamp: 1, message });
  proxy.refuse();
  proxy.cut();
  expect(await queue.dequeueAll('t')).toEqual([]);
  expect(warnings).toContainEqual(expect.stringContaining('the queue of a task was not cleared'));
  await expect(queue.dequeue('t')).rejects.toMatchObject({ code: 'backplane_unavailable' });
  proxy.accept();
  await expect.poll(() => queue.dequeueAll('t')).toHaveLength(1);
});
