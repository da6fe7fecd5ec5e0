/** Tests of an application may put timers of their own in the place of Node's, while a request is under way. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { request } from '../support/mcp-http.js';
import { openSession, startNode } from './support/serve.js';

it('a `setImmediate` that does not call back holds up nobody afterwards', async () => {
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
