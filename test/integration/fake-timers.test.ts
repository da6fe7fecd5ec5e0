/** Tests of an application may replace the timers of Node while a request is under way. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { request } from '../support/mcp-http.js';
import { openSession, startNode } from './support/serve.js';

it('a fake `setImmediate` that never calls back does not delay later requests', async () => {
  const { url } = await startNode({ mount: { express: 'none' } });
  const { client } = await openSession(url);
  const fake = vi.spyOn(globalThis, 'setImmediate').mockReturnValue({} as NodeJS.Immediate);
  onTestFinished(() => fake.mockRestore());
  const signal = AbortSignal.timeout(200);
  await client.post(url, request(1, 'ping'), { signal }).catch(() => undefined);
  fake.mockRestore();
  const answer = await client.post(url, request(2, 'ping'), {
    signal: AbortSignal.timeout(20_000),
  });
  expect(answer.status).toBe(200);
});

// Bug: after a large answer the next one waits for a turn of the event loop. All later answers of the process waited
// for that turn.
it('a fake `setImmediate` during a large answer does not delay later answers', async () => {
  const tools = { large: () => 'x'.repeat(2 * 1024 * 1024) };
  const { url } = await startNode({ responseMode: 'json', tools });
  const { client } = await openSession(url);
  const fake = vi.spyOn(globalThis, 'setImmediate').mockReturnValue({} as NodeJS.Immediate);
  onTestFinished(() => fake.mockRestore());
  const signal = AbortSignal.timeout(500);
  const call = request(1, 'tools/call', { name: 'large' });
  await client.post(url, call, { signal }).catch(() => undefined);
  fake.mockRestore();
  const answer = await client.post(url, request(2, 'ping'), {
    signal: AbortSignal.timeout(3_000),
  });
  expect(answer.status).toBe(200);
});
