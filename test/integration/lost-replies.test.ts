/** A step whose reply is lost is sent again, and the server behind notices nothing. */
import { expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane, redisBackplane } from '../../src/index.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { scriptedServer } from './support/scripted-server.js';
import { rawClient, startNode } from './support/serve.js';

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
