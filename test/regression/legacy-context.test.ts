import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { listen, rawClient } from '../integration/support/serve.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { answers, notification, request } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

/**
 * After a failover the node that holds the connection took over requests that other nodes looked after, and had them run in the
 * name of the connection's GET.
 */
it('a request of HTTP+SSE runs with the authorization of its POST, although another node has taken it over', async () => {
  const shared = memoryBackplane();
  const lost: Record<string, () => void> = {};
  let losesRun = false;
  const of = (name: string): Backplane =>
    wrappedBackplane(shared, (joined, options) => {
      lost[name] = () => options.onLost();
      if (name !== 'b') return {};
      return {
        send(to, message) {
          const isLost = losesRun && message.type === 'run';
          if (isLost) losesRun = false;
          return isLost ? Promise.resolve() : joined.send(to, message);
        },
      };
    });
  const seen: unknown[] = [];
  const start = async (name: string) => {
    const mcp = anynode({
      server: () =>
        scriptedServer({
          who: ({ extra }) => {
            seen.push(extra.authInfo?.token);
            return 'x';
          },
        }),
      backplane: of(name),
      affinity: 'owner',
      principal: () => 'alice',
    });
    const app = express();
    app.use((req, _res, next) => {
      (req as unknown as { auth: unknown }).auth = {
        token: req.headers['x-token'] ?? 'none',
        clientId: 'c',
        scopes: [],
      };
      next();
    });
    app.use(legacySse(mcp));
    const url = new URL(await listen(app)).origin;
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    await mcp.ready();
    return { mcp, url };
  };
  const [a, b, c] = [await start('a'), await start('b'), await start('c')];
  const client = rawClient();
  const stream = await client.listen(`${a.url}/sse`, { headers: { 'x-token': 'of the GET' } });
  const address = (await stream.next()).data;
  const say = async (node: { url: string }, message: never, token: string) =>
    (await client.post(`${node.url}${address}`, message, { headers: { 'x-token': token } })).expect(
      202,
    );
  const params = {
    ...{ protocolVersion: '2024-11-05', capabilities: {} },
    clientInfo: { name: 'raw', version: '1' },
  };
  await say(c, request('i', 'initialize', params) as never, 'init');
  await stream.next(answers('i'));
  await say(c, notification('notifications/initialized') as never, 'init');
  losesRun = true;
  await say(b, request(1, 'tools/call', { name: 'who' }) as never, 'of the POST');
  lost.a?.();
  await stream.next(answers(1), 10_000);
  expect(seen).toEqual(['of the POST']);
});
