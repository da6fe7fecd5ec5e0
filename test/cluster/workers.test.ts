/** Workers of Node's `cluster` module are nodes like any others: connections reach any of them, and each can be replaced. */
import { expect, it } from 'vitest';
import { startNode } from '../rig/processes.js';
import { answers, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { resultText } from './support/cluster.js';

it('all workers of a port serve a session, and are replaced one after the other without a failed call', async () => {
  const script = new URL('workers/primary.ts', import.meta.url);
  const env = { REDIS_URL: redisUrl(), PREFIX: uniquePrefix() };
  const node = await startNode({ script, env });
  const client = new RawClient();
  await client.initialize(node.url);

  /** Comes back to the stream of a call as clients do, until it has an answer. */
  const call = async (ms: number): Promise<string> => {
    const id = client.nextId();
    const params = { name: 'whoami', arguments: { ms } };
    let { sse } = (await client.post(node.url, request(id, 'tools/call', params))).expect(200);
    for (;;) {
      await sse.ended;
      const answer = sse.messages.find((message) => message.id === id);
      if (answer !== undefined) return resultText(answer);
      sse = await client.listen(node.url, { lastEventId: sse.lastEventId ?? '' });
    }
  };

  const before = new Set<string>();
  while (before.size < 2) before.add(await call(0));
  let rolling = true;
  const roll = node.call('roll').finally(() => (rolling = false));
  const seen: string[] = [];
  while (rolling) seen.push(...(await Promise.all([call(50), call(0)])));
  await roll;
  expect(seen.length).toBeGreaterThan(2);
  const after = await Promise.all(Array.from({ length: 10 }, () => call(0)));
  for (const id of after) expect(before).not.toContain(id);

  const id = client.nextId();
  const { sse } = await client.post(node.url, request(id, 'tools/list'));
  expect((await sse.next(answers(id))).message?.result).toBeDefined();
  client.close();
  await node.stop();
});
