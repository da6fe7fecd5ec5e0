/** What a node logs about its state, and at which level. */
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { anynode, memoryBackplane } from '../../src/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { scriptedServer } from './support/scripted-server.js';
import { startNode } from './support/serve.js';

afterEach(() => vi.unstubAllEnvs());

it('the log names a Redis that is away, without credentials, and says once that it is back', async () => {
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port || 6379) } });
  onTestFinished(() => proxy.stop());
  const place = `Redis at 127.0.0.1:${proxy.port}`;
  const redis = `redis://default:hunter2@127.0.0.1:${proxy.port}`;
  const node = await startNode({ redis, prefix: uniquePrefix(), commandTimeoutMs: 300 });
  proxy.refuse();
  proxy.cut();
  await expect.poll(() => node.logged, { timeout: 10_000 }).toHaveLength(1);
  expect(node.logged[0]).toContain(`${place} cannot be reached`);
  proxy.accept();
  await expect.poll(() => node.informed, { timeout: 10_000 }).toHaveLength(1);
  expect(node.informed[0]).toContain(`${place} is reached again`);
  expect(node.logged).toHaveLength(1);
  expect([...node.logged, ...node.informed].join()).not.toContain('hunter2');
});

it('the log warns of sessions in memory if NODE_ENV is production, unless a memory backplane is given', async () => {
  vi.stubEnv('NODE_ENV', 'production');
  const warnings: string[] = [];
  // A logger of an application from before `info` was used.
  const logger = { warn: (text: string) => void warnings.push(text), error: () => undefined };
  const server = () => scriptedServer();
  const forgotten = anynode({ server, logger, redis: undefined });
  expect(warnings).toEqual([expect.stringContaining('NODE_ENV is production')]);
  const meant = anynode({ server, logger, backplane: memoryBackplane() });
  await Promise.all([forgotten.close(), meant.close()]);
  expect(warnings).toHaveLength(1);
});
