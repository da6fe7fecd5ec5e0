/** What is lost on the way: the reply to a step, which is sent again, or an answer that the log has no more. */
import { expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane, redisBackplane } from '../../src/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import { scriptedServer } from './support/scripted-server.js';
import { openSession, rawClient, startNode } from './support/serve.js';

const STORES: [string, () => Backplane][] = [
  ['memory', () => memoryBackplane()],
  ['Redis', () => redisBackplane({ redis: redisUrl(), prefix: uniquePrefix() })],
];

/** Carries out each commit, loses the reply, and sends it again. */
function losingReplies(store: Backplane): Backplane {
  return {
    join(options) {
      const joined = store.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = async (given) => {
        await commit(given);
        return commit(given);
      };
      return joined;
    },
  };
}

// Bug: the record said by then that the client was initialized, so the server was told by the record and by the
// message.
it.each(STORES)('%s: a server gets `initialized` once', async (_, store) => {
  let initialized = 0;
  const node = await startNode({
    backplane: losingReplies(store()),
    server: () => {
      const server = scriptedServer();
      server.oninitialized = () => (initialized += 1);
      return server;
    },
  });
  const client = rawClient();
  await client.initialize(node.url);
  await expect.poll(() => initialized).toBe(1);
  // What was on its way to the server comes before the answer.
  await client.request(node.url, 'ping');
  expect(initialized).toBe(1);
});

// Bug: with `responseMode: 'json'` the client heard that its session was not found, and began a new one.
it.each(['trimmed', 'lost'] as const)(
  'ends a call with `answer_lost` if its stream is %s before its node has read it',
  async (status) => {
    const store = memoryBackplane();
    let onLost = (): void => undefined;
    const trimming: Backplane = {
      join(options) {
        onLost = () => options.onLost();
        const joined = store.join(options);
        joined.read = () => Promise.resolve({ status });
        return joined;
      },
    };
    const gate = newGate();
    const slow = () => gate.opened.then(() => 'done');
    const node = await startNode({
      ...{ backplane: trimming, responseMode: 'json', tools: { slow } },
    });
    const { client } = await openSession(node.url);
    const posted = client.post(node.url, request(7, 'tools/call', { name: 'slow' }));
    await expect.poll(() => node.mcp.health().inFlight).toBe(1);
    onLost();
    const answer = await posted;
    gate.open();
    expect(answer.status).toBe(200);
    expect(answer.json()).toMatchObject({ id: 7, error: { data: { reason: 'answer_lost' } } });
  },
);
