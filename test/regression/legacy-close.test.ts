import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { listen, rawClient } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';
import { answers, notification, request } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

/** A claim that was answered after the node had closed left a connection behind, with its timers. */
it('a node that closes while it claims a request of HTTP+SSE does not follow it any more', async () => {
  const [claimed, closed, answered] = [signal(), signal(), signal()];
  const shared = memoryBackplane();
  let lost = (): void => undefined;
  const watched = wrappedBackplane(shared, (joined, options) => {
    lost = () => options.onLost();
    return {
      // As if the node that the request was POSTed to were dead.
      openStreams: async (sessionId) =>
        (await joined.openStreams(sessionId)).map((each) => ({ ...each, holder: undefined })),
      async attach(claim) {
        const reply = await joined.attach(claim);
        if (claim.stream !== STANDALONE) {
          claimed.resolve();
          await closed.promise;
        }
        return reply;
      },
    };
  });
  const start = async (backplane: Backplane) => {
    const server = () => scriptedServer({ wait: () => answered.promise.then(() => 'x') });
    const mcp = anynode({ server, backplane });
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    const app = express();
    app.use(legacySse(mcp));
    return { mcp, url: new URL(await listen(app)).origin };
  };
  const [a, b] = [await start(watched), await start(shared)];
  const client = rawClient();
  const stream = await client.listen(`${a.url}/sse`);
  const address = `${b.url}${(await stream.next()).data}`;
  const params = {
    ...{ protocolVersion: '2024-11-05', capabilities: {} },
    clientInfo: { name: 'raw', version: '1' },
  };
  (await client.post(address, request('i', 'initialize', params))).expect(202);
  await stream.next(answers('i'));
  (await client.post(address, notification('notifications/initialized'))).expect(202);
  (await client.post(address, request(1, 'tools/call', { name: 'wait' }))).expect(202);
  lost();
  await claimed.promise;
  await a.mcp.close({ drainMs: 0 });
  closed.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(a.mcp.health().streams).toBe(0);
  answered.resolve();
});
