/** Handlers that keep their own sessions, mounted unchanged in the node's process or behind a URL. */
import { describe, expect, it } from 'vitest';
import { InMemoryEventStore } from '../../demo/event-store.js';
import { hasMethod, notification, request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import type { NodeOptions } from './support/serve.js';
import { openSession, STORES } from './support/serve.js';
import { announce, say, type Tools } from './support/scripted-server.js';
import { startIntercepted, WAYS } from './support/intercepted.js';
import { mapEndpoint, type MapOptions } from './support/map-endpoint.js';

const SCHEMA = { type: 'object' as const, properties: { color: { type: 'string' as const } } };
const ASK = { message: 'Which color?', requestedSchema: SCHEMA };
const blue = { action: 'accept', content: { color: 'blue' } };

const tools: Tools = {
  add: ({ args }) => String(Number(args.a) + Number(args.b)),
  color: async ({ extra, server }) => {
    await say(extra, 'asking');
    const { requestId: relatedRequestId } = extra;
    const { action, content } = await server.elicitInput(ASK, { relatedRequestId });
    return `${action} ${String(content?.color)}`;
  },
  /** Sends a request to the client that belongs to no call. */
  aside: async ({ server }) => {
    const { action, content } = await server.elicitInput(ASK);
    return `${action} ${String(content?.color)}`;
  },
  log: async ({ extra, server }) => {
    await server.sendLoggingMessage({ level: 'info', data: 'below' }, extra.sessionId);
    await server.sendLoggingMessage({ level: 'error', data: 'above' }, extra.sessionId);
    return 'logged';
  },
  progress: async ({ extra }) => {
    const progressToken = extra._meta?.progressToken ?? '';
    for (const progress of [1, 2, 3]) {
      const params = { progressToken, progress };
      await extra.sendNotification({ method: 'notifications/progress', params });
    }
    return 'done';
  },
  whoami: ({ extra }) => String(extra.sessionId),
  patient: async ({ extra, server }) => {
    const seen: number[] = [];
    await server.createMessage(
      { messages: [], maxTokens: 1 },
      {
        relatedRequestId: extra.requestId,
        onprogress: ({ progress }) => void seen.push(progress),
      },
    );
    return seen.join();
  },
};

const text = (line: string) => ({ result: { content: [{ text: line }] } });
const call = (name: string, args = {}) => ({ name, arguments: args });

describe.each(WAYS)('as %s', (way) => {
  const start = (options: NodeOptions = {}, sdk: MapOptions = {}) =>
    startIntercepted(way, mapEndpoint({ tools, ...sdk }).handler, options);

  describe.each(STORES)('over %s', (_, openStore) => {
    it.each([
      ['event streams', {}],
      ['JSON', { json: true }],
    ])(
      'a handler that answers with %s serves list, call, log level and notifications on two nodes',
      async (_, sdk) => {
        const store = openStore();
        const [a, b] = [
          await start({ backplane: store() }, sdk),
          await start({ backplane: store() }, sdk),
        ];
        const { client, sessionId } = await openSession(a.url);
        const { result } = await client.request(b.url, 'tools/list');
        expect(result?.tools).toHaveLength(Object.keys(tools).length + 1);
        for (const { url } of [a, b]) {
          const sum = await client.request(url, 'tools/call', call('add', { a: 1, b: 2 }));
          expect(sum).toMatchObject(text('3'));
          // The id of the handler's own session is not shown to the client.
          const { result } = await client.request(url, 'tools/call', call('whoami'));
          expect(JSON.stringify(result)).not.toContain(sessionId);
        }
        await client.request(a.url, 'logging/setLevel', { level: 'error' });
        const listener = await client.listen(a.url);
        await client.request(b.url, 'tools/call', call('log'));
        await listener.next(({ message }) => message?.params?.data === 'above');
        expect(listener.messages.map(({ params }) => params?.data)).toEqual(['above']);
        expect([...a.logged, ...b.logged]).toEqual([]);
      },
    );

    it('a question within a call and one outside of it are answered on the other node', async () => {
      const store = openStore();
      const a = await start({ backplane: store() });
      const b = await start({ backplane: store() });
      const { client } = await openSession(a.url, { capabilities: { elicitation: {} } });
      const { sse } = await client.post(b.url, request('c', 'tools/call', call('color')));
      const asked = await sse.next(hasMethod('elicitation/create'));
      await client.respond(a.url, asked.message?.id ?? '', blue);
      const answer = await sse.next(({ message }) => message?.id === 'c');
      expect(answer.message).toMatchObject(text('accept blue'));
      expect(sse.messages[0]).toMatchObject({ params: { data: 'asking' } });

      const listener = await client.listen(a.url);
      const aside = client.request(b.url, 'tools/call', call('aside'));
      const again = await listener.next(hasMethod('elicitation/create'));
      await client.respond(a.url, again.message?.id ?? '', blue);
      expect(await aside).toMatchObject(text('accept blue'));
    });

    it('progress arrives in both directions', async () => {
      const store = openStore();
      const a = await start({ backplane: store() });
      const b = await start({ backplane: store() });
      const { client } = await openSession(a.url, { capabilities: { sampling: {} } });
      const params = { ...call('progress'), _meta: { progressToken: 'mine' } };
      const { sse } = await client.post(b.url, request(0, 'tools/call', params));
      const events = await sse.first(4);
      expect(events.map(({ message }) => message?.params?.progress)).toEqual([1, 2, 3, undefined]);
      expect(events[3]?.message).toMatchObject({ id: 0, ...text('done') });

      const patient = await client.post(b.url, request('p', 'tools/call', call('patient')));
      const { message } = await patient.sse.next(hasMethod('sampling/createMessage'));
      const token = (message?.params?._meta as { progressToken: string }).progressToken;
      for (const progress of [1, 2]) {
        const report = { progressToken: token, progress };
        await client.notify(a.url, 'notifications/progress', report);
      }
      await client.respond(a.url, message?.id ?? '', {
        ...{ model: 'm', role: 'assistant', content: { type: 'text', text: 'x' } },
      });
      expect(await patient.answer('p')).toMatchObject(text('1,2'));
    });
  });

  it('a cancellation reaches the running call, also with id 0, and its stream ends', async () => {
    const running = newGate();
    const aborted = newGate();
    const node = await start(
      {},
      {
        tools: {
          hold: ({ extra }) =>
            new Promise((_, reject) => {
              extra.signal.addEventListener('abort', () => {
                aborted.open();
                reject(new Error('aborted'));
              });
              running.open();
            }),
        },
      },
    );
    const { client } = await openSession(node.url);
    const { sse } = await client.post(node.url, request(0, 'tools/call', call('hold')));
    await running.opened;
    await client.notify(node.url, 'notifications/cancelled', { requestId: 0 });
    await aborted.opened;
    expect(await sse.untilEnded()).toBe('end');
    expect(sse.messages).toEqual([]);
  });

  it('DELETE ends the private session, too', async () => {
    const { handler, transports } = mapEndpoint({ tools });
    const { url } = await startIntercepted(way, handler);
    const { client, sessionId } = await openSession(url);
    expect(transports.size).toBe(1);
    expect(transports.has(sessionId)).toBe(false);
    (await client.delete(url)).expect(200);
    await expect.poll(() => transports.size).toBe(0);
    expect((await client.post(url, request(1, 'ping'))).status).toBe(404);
  });

  it('two sessions of one handler have separate private sessions', async () => {
    const { url } = await start();
    const [one, two] = [await openSession(url), await openSession(url)];
    const listeners = [await one.client.listen(url), await two.client.listen(url)] as const;
    const ids = await Promise.all(
      [one, two].map(({ client }) => client.request(url, 'tools/call', call('whoami'))),
    );
    expect(ids[0]?.result).not.toEqual(ids[1]?.result);
    await one.client.request(url, 'tools/call', call('log'));
    await listeners[0].first(2);
    await two.client.request(url, 'tools/call', call('log'));
    await listeners[1].first(2);
    expect(listeners[0].messages).toHaveLength(2);
  });

  it('what a server says after `initialized` arrives once, however often its session is made again', async () => {
    const welcoming = mapEndpoint({
      ...{ tools, welcome: (server) => void announce(server, 'welcome') },
    }).handler;
    const a = await startIntercepted(way, welcoming);
    const { client } = await openSession(a.url);
    const listener = await client.listen(a.url);
    expect((await listener.next()).message?.params).toMatchObject({ data: 'welcome' });
    // The replica is discarded, and built again for the next request.
    const b = await startIntercepted(way, welcoming, { replicaIdleMs: 250 });
    const other = await openSession(b.url);
    await expect.poll(() => b.mcp.health().sessions).toBe(0);
    const later = await other.client.listen(b.url);
    expect((await later.next()).message?.params).toMatchObject({ data: 'welcome' });
    await other.client.request(b.url, 'tools/call', call('add', { a: 1, b: 1 }));
    await other.client.request(b.url, 'tools/call', call('log'));
    await later.first(3);
    expect(later.messages.map(({ params }) => params?.data)).toEqual(['welcome', 'below', 'above']);
  });

  it('a stream that the handler ends during a call ends for the client, and both resume', async () => {
    const leave = newGate();
    const { url } = await start(
      {},
      {
        eventStore: () => new InMemoryEventStore(),
        tools: {
          leave: async ({ extra }) => {
            await say(extra, 'before');
            extra.closeSSEStream?.();
            await leave.opened;
            await say(extra, 'after');
            return 'back';
          },
        },
      },
    );
    const { client } = await openSession(url);
    const { sse } = await client.post(url, request('l', 'tools/call', call('leave')));
    expect(await sse.untilEnded()).toBe('end');
    const resumed = await client.listen(url, { lastEventId: sse.lastEventId ?? '' });
    leave.open();
    const [after, last] = await resumed.first(2);
    expect(after?.message?.params).toMatchObject({ data: 'after' });
    expect(last?.message).toMatchObject({ id: 'l', ...text('back') });
  });

  it('the requests of a batch, and concurrent requests, get their own answers', async () => {
    const { url } = await start();
    const { client } = await openSession(url);
    const batch = [1, 2, 3].map((a) => request(a, 'tools/call', call('add', { a, b: 0 })));
    const answer = await client.post(url, [
      ...batch,
      notification('notifications/roots/list_changed'),
    ]);
    for (const id of [1, 2, 3]) expect(await answer.answer(id)).toMatchObject(text(String(id)));
    const many = Array.from({ length: 50 }, (_, a) =>
      client.request(url, 'tools/call', call('add', { a, b: 1 })),
    );
    const sums = await Promise.all(many);
    sums.forEach((sum, a) => expect(sum).toMatchObject(text(String(a + 1))));
  });
});
