/** A client of the application that finds its Redis master through sentinels. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { MASTER_NAME, startSentinels } from '../support/redis-sentinels.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { ownRedis } from './support/own-redis.js';

const own = ownRedis();

// Bug: the node's connections gave up as the client of the application would. They ended for good, and every call failed
// with `closed`.
it('a node connects again when sentinels are back, although the client of the application gives up', async () => {
  const sentinels = await startSentinels();
  onTestFinished(() => sentinels.stop());
  const proxies = await Promise.all(
    sentinels.ports.map((port) => startTcpProxy({ target: { port } })),
  );
  onTestFinished(() => Promise.all(proxies.map((proxy) => proxy.stop())).then(() => undefined));
  for (const proxy of proxies) proxy.refuse();

  const client = new Redis({
    sentinels: proxies.map(({ port }) => ({ host: '127.0.0.1', port })),
    name: MASTER_NAME,
    sentinelRetryStrategy: () => null,
    lazyConnect: true,
  });
  client.on('error', () => undefined);
  const node = own.start(client, { commandTimeoutMs: 500 });
  onTestFinished(() => own.leaveAll());
  await expect(node.backplane.alive(['x'])).rejects.toMatchObject({
    code: 'backplane_unavailable',
  });
  for (const proxy of proxies) proxy.accept();
  await node.backplane.ready();
  expect(await node.backplane.alive([node.id, 'x'])).toEqual(new Set([node.id]));
}, 60_000);
