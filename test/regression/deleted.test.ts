import { expect, it } from 'vitest';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { say } from '../integration/support/scripted-server.js';
import { openSession, startNode, STORES } from '../integration/support/serve.js';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backplane } from '../../src/index.js';
import { notification, request } from '../support/mcp-http.js';

/** A backplane whose node is never told that a session has ended. */
function unaware(inner: Backplane): Backplane {
  return {
    join: (options) =>
      inner.join({
        ...options,
        onMessage: (message) => {
          if (message.type !== 'gone') options.onMessage(message);
        },
      }),
  };
}

// It was logged as an error of the server, for an operator to look into: there is none.
it.each(STORES)(
  'a session that is deleted while its server is built on another node leaves nothing there, over %s',
  async (_, openStore) => {
    const store = openStore();
    const building = newGate();
    const gate = newGate();
    let closed = 0;
    const a = await startNode({ backplane: store() });
    const b = await startNode({
      backplane: store(),
      server: async () => {
        building.open();
        await gate.opened;
        const server = scriptedServer();
        server.onclose = () => (closed += 1);
        return server;
      },
    });
    const { client, sessionId } = await openSession(a.url);
    const id = client.nextId();
    const called = await client.post(b.url, request(id, 'tools/call', { name: 'echo' }));
    await building.opened;
    (await client.post(b.url, notification('notifications/custom'))).expect(202);
    (await client.delete(a.url)).expect(200);
    expect((await client.post(b.url, request(99, 'ping'))).status).toBe(404);
    gate.open();
    await called.sse.ended;
    expect(called.sse.messages).toEqual([]);
    await expect.poll(() => b.mcp.health()).toMatchObject({ sessions: 0, inFlight: 0, streams: 0 });
    await expect.poll(() => closed).toBe(1);
    expect(await b.mcp.sessions.get(sessionId)).toBeUndefined();
    expect([...a.logged, ...b.logged]).toEqual([]);
  },
);

// The word of a DELETE may be lost. Each further step of the handler was answered that there is no such session, and the
// handler went on, with all that it said resolved as if the client had heard it.
it.each(STORES)(
  'a handler is aborted as soon as one of its messages is refused because the session was deleted, over %s',
  async (_, openStore) => {
    const store = openStore();
    const outcomes: string[] = [];
    let aborted = false;
    const tools = {
      agent: async ({ extra }: { extra: Parameters<typeof say>[0] & { signal: AbortSignal } }) => {
        extra.signal.addEventListener('abort', () => (aborted = true));
        while (!extra.signal.aborted) {
          await sleep(20);
          await say(extra, 'a step').then(
            () => outcomes.push('heard'),
            () => outcomes.push('refused'),
          );
        }
        return 'done';
      },
    };
    const a = await startNode({ backplane: unaware(store()), tools: tools });
    const b = await startNode({ backplane: store() });
    const { client } = await openSession(a.url);
    const { sse } = await client.post(
      a.url,
      request(client.nextId(), 'tools/call', { name: 'agent' }),
    );
    await expect.poll(() => outcomes).toContain('heard');
    (await client.delete(b.url)).expect(200);
    const heard = outcomes.length;
    await expect.poll(() => aborted).toBe(true);
    // At most one step was on its way.
    expect(outcomes.slice(heard + 1)).not.toContain('heard');
    await sse.ended;
    await expect.poll(() => a.mcp.health()).toMatchObject({ sessions: 0, inFlight: 0, streams: 0 });
  },
);

// A handler that says nothing heard of the end of its session with its answer only: other steps of its node find it out, too.
it.each(STORES)(
  'a silent handler is aborted as soon as its node learns that the session was deleted, over %s',
  async (_, openStore) => {
    const store = openStore();
    let aborted = 0;
    const tools = {
      silent: ({ extra }: { extra: { signal: AbortSignal } }) =>
        new Promise<string>((resolve) => {
          extra.signal.addEventListener('abort', () => {
            aborted += 1;
            resolve('aborted');
          });
        }),
    };
    const finders = {
      'another request': (url: string, id: number) => client.post(url, request(id, 'ping')),
      'a notification': (url: string) => client.post(url, notification('notifications/custom')),
      'a GET': (url: string) => client.get(url),
    };
    const a = await startNode({ backplane: unaware(store()), tools: tools });
    const b = await startNode({ backplane: store() });
    let { client } = await openSession(a.url);
    for (const [at, find] of Object.values(finders).entries()) {
      ({ client } = await openSession(a.url));
      await client.post(a.url, request(client.nextId(), 'tools/call', { name: 'silent' }));
      await expect.poll(() => a.mcp.health().inFlight).toBe(1);
      (await client.delete(b.url)).expect(200);
      (await find(a.url, 50)).expect(404);
      await expect.poll(() => aborted).toBe(at + 1);
    }
  },
);
