/** Applications of other web frameworks, each beside an Express application in one cluster. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type RequestHandler } from 'express';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { anynode, redisBackplane, type Anynode } from '../../src/index.js';
import { installWebFrameworks } from '../consumers/web/install.js';
import { announce, scriptedServer } from '../integration/support/scripted-server.js';
import { hasMethod, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

type Start = (mcp: Anynode) => Promise<{ port: number; server: Server }>;

const FRAMEWORKS = ['hono', 'fastify', 'sveltekit', 'srvx', 'route-handlers'];

beforeAll(installWebFrameworks, 300_000);

const authenticate: RequestHandler = (req, _res, next) => {
  const [, token] = req.headers.authorization?.split(' ') ?? [];
  const auth = { token, clientId: 'app', scopes: [], extra: { sub: token } };
  if (token !== undefined) Object.assign(req, { auth });
  next();
};

const startExpress: Start = async (mcp) => {
  const server = express().use('/mcp', authenticate, mcp).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, server };
};

describe.each(FRAMEWORKS)('%s', (name) => {
  async function startBoth() {
    const url = new URL(`../consumers/web/${name}.mjs`, import.meta.url);
    const { start } = (await import(url.href)) as { start: Start };
    const prefix = uniquePrefix();
    const startOn = async (begin: Start) => {
      const mcp = anynode({
        backplane: redisBackplane({ redis: redisUrl(), prefix }),
        server: () =>
          scriptedServer({
            say: async ({ server }) => {
              await announce(server, 'said');
              return 'done';
            },
            slow: async () => {
              await sleep(300);
              return 'done';
            },
            who: ({ extra }) => String(extra.authInfo?.extra?.sub),
          }),
      });
      const { port, server } = await begin(mcp);
      onTestFinished(() => mcp.close({ server, drainMs: 0 }));
      await mcp.ready();
      return { mcp, server, url: `http://localhost:${port}/mcp` };
    };
    return { own: await startOn(start), other: await startOn(startExpress) };
  }
  const text = (line: string) => ({ result: { content: [{ type: 'text', text: line }] } });
  const call = (tool: string) => ({ name: tool, arguments: {} });

  it('serves initialize, calls, a GET stream, resuming and DELETE, together with Express', async () => {
    const { own, other } = await startBoth();
    const client = new RawClient({ headers: { authorization: 'Bearer ada' } });
    onTestFinished(() => client.close());
    await client.initialize(own.url);
    for (const { url } of [own, other]) {
      const answer = await client.request(url, 'tools/call', { name: 'echo', arguments: { a: 1 } });
      expect(answer).toMatchObject(text('{"a":1}'));
    }
    expect(await client.request(own.url, 'tools/call', call('who'))).toMatchObject(text('ada'));

    const stream = await client.listen(own.url);
    for (const { url } of [own, other]) {
      await client.request(url, 'tools/call', call('say'));
      await stream.next(hasMethod('notifications/message'));
    }
    expect(own.mcp.health().streams).toBe(1);
    const { lastEventId = '' } = stream;
    stream.close();
    await expect.poll(() => own.mcp.health().streams).toBe(0);
    await client.request(other.url, 'tools/call', call('say'));
    const resumed = await client.listen(own.url, { lastEventId });
    await resumed.next(hasMethod('notifications/message'));
    expect(resumed.messages).toHaveLength(1);

    const stranger = new RawClient({ headers: { authorization: 'Bearer eve' } });
    stranger.sessionId = client.sessionId;
    expect((await stranger.post(own.url, request(1, 'ping'))).status).toBe(404);
    (await client.delete(own.url)).expect(200);
    expect((await client.post(other.url, request(1, 'ping'))).status).toBe(404);
  });

  it('answers wrong requests as Express does', async () => {
    const { own, other } = await startBoth();
    const answerTo = async (url: string, method: string, body?: string) => {
      const client = new RawClient();
      const { status, headers, body: got } = await client.send(method, url, body);
      client.close();
      return [status, headers['content-type'], got];
    };
    const wrong: [string, string?][] = [
      ...[['GET'], ['POST', ''], ['POST', '{'], ['POST', '[]'], ['DELETE']],
      ['POST', JSON.stringify(request(1, 'initialize', { x: 'x'.repeat(70_000) }))],
      ['POST', JSON.stringify(request(1, 'ping'))],
      ['POST', 'x'.repeat(5_000_000)],
    ] as [string, string?][];
    for (const [method, body] of wrong) {
      expect(await answerTo(own.url, method, body)).toEqual(
        await answerTo(other.url, method, body),
      );
    }
  });

  it('loses no call when it closes', async () => {
    const { own, other } = await startBoth();
    const client = new RawClient();
    onTestFinished(() => client.close());
    await client.initialize(own.url);
    const stream = await client.listen(own.url);
    const calls = Array.from({ length: 20 }, () =>
      client.request(own.url, 'tools/call', call('slow')),
    );
    await expect.poll(() => own.mcp.health().inFlight).toBe(20);
    const closed = own.mcp.close({ server: own.server });
    for (const answer of await Promise.all(calls)) expect(answer).toMatchObject(text('done'));
    expect(await stream.ended).toBe('end');
    await closed;
    expect(await client.request(other.url, 'tools/call', call('say'))).toMatchObject(text('done'));
  });
});
