import { describe, expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { announce, say, type ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { signal } from './support/signal.js';

const headersOf = (sessionId: string) => ({
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
  'mcp-session-id': sessionId,
  'mcp-protocol-version': '2025-11-25',
});

const call = (id: number, name: string, args?: Record<string, unknown>) =>
  request(id, 'tools/call', { name, ...(args && { arguments: args }) });

describe.each(STORES)('SSE, over %s', (_, openStore) => {
  it('the first byte and the cursor come before the handler says anything', async () => {
    const go = signal();
    const tools = { wait: () => go.promise.then(() => 'done') };
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const { sse } = await client.post(url, call(9, 'wait'));
    const priming = await sse.priming();
    expect(sse.comments).toEqual(['stream']);
    expect(priming).toMatchObject({ data: '', retry: undefined, event: undefined });
    expect(sse.events).toEqual([]);
    go.resolve();
    await sse.untilEnded();
    expect(sse.events).toMatchObject([{ event: 'message', message: { id: 9, result: {} } }]);
  });

  it('clients before 2025-11-25, which choke on an event without data, get none', async () => {
    const { client, url } = await startSession(
      { backplane: openStore()() },
      { protocolVersion: '2025-06-18' },
    );
    const { sse } = await client.post(url, call(9, 'echo'));
    await sse.untilEnded();
    const listener = await client.listen(url);
    await listener.comment();
    expect([...sse.primings, ...listener.primings]).toEqual([]);
    expect([...sse.retries, ...listener.retries]).toEqual([]);
    // They can still resume, once a message has given them a cursor.
    expect(sse.lastEventId).toBeDefined();
  });

  it('event ids are one of a kind in a session, whatever the stream', async () => {
    const tools = {
      chatter: async ({ extra, server }: ToolCall) => {
        for (let at = 0; at < 5; at += 1) {
          await say(extra, `call ${at}`);
          await announce(server, `all ${at}`);
        }
        return 'done';
      },
    };
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const listener = await client.listen(url);
    const calls = await Promise.all([1, 2, 3].map((id) => client.post(url, call(id, 'chatter'))));
    for (const { sse } of calls) await sse.untilEnded();
    await listener.first(15);
    const all = [listener, ...calls.map(({ sse }) => sse)];
    const ids = all.flatMap(({ events, primings }) => [...primings, ...events]).map(({ id }) => id);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(ids.length);
    expect(calls.map(({ sse }) => sse.events.length)).toEqual([6, 6, 6]);
    expect(listener.messages.map(({ method }) => method)).toEqual(
      Array.from({ length: 15 }, () => 'notifications/message'),
    );
  });
});

describe('options of SSE', () => {
  it('`primingEvents: false`: no client gets one, since some mishandle it', async () => {
    const { client, url } = await startSession({ primingEvents: false });
    const { sse } = await client.post(url, call(9, 'echo'));
    await sse.untilEnded();
    const listener = await client.listen(url);
    await listener.comment();
    expect([...sse.primings, ...listener.primings]).toEqual([]);
  });

  // Some clients take each line that is none of id, event, data and comment for an error, and did not connect at all.
  it('the client is told `retryMs` when its connection is ended on purpose, and not before', async () => {
    const { client, url, mcp } = await startSession({ retryMs: 4000 });
    const listener = await client.listen(url);
    await listener.priming();
    expect(listener.retries).toEqual([]);
    await mcp.close();
    await listener.untilEnded();
    expect(listener.retries).toHaveLength(1);
    expect(listener.retries[0]).toBeGreaterThanOrEqual(3600);
    expect(listener.retries[0]).toBeLessThanOrEqual(4400);
  });

  // A reader that splits the text at blank lines took the comment for an event, and waited for what follows it.
  it('the first event comes with the opening comment', async () => {
    const { url, sessionId } = await startSession();
    const body = JSON.stringify(call(9, 'echo'));
    const posted = await fetch(url, { method: 'POST', headers: headersOf(sessionId), body });
    const [first, second] = (await posted.text()).split('\n\n');
    expect(first).toMatch(/^: stream\nid: \S+\ndata: $/);
    expect(second).toMatch(/^event: message\nid: \S+\ndata: \{/);
  });

  it('a client that comes back with an event id is not told the same id once more', async () => {
    const { client, url } = await startSession();
    const listener = await client.listen(url);
    const { id = '' } = await listener.priming();
    const again = await client.listen(url, { lastEventId: id });
    await again.comment();
    await client.request(url, 'ping');
    expect(again.primings).toEqual([]);
    // The twin: without the id, it is told.
    expect((await (await client.listen(url)).priming()).id).toBe(id);
  });

  it('a client that does not say its version speaks 2025-03-26, with POST and with GET', async () => {
    const { client, url } = await startSession();
    const headers = { 'mcp-protocol-version': undefined };
    const { sse } = await client.post(url, call(9, 'echo'), { headers });
    await sse.untilEnded();
    const listener = await client.listen(url, { headers });
    await listener.comment();
    await client.request(url, 'ping');
    expect([...sse.primings, ...listener.primings]).toEqual([]);
  });

  // They stand in strings as they are, by the standards of JSON and of server-sent events; but some readers split there.
  it('no line of data has a line separator of Unicode in it', async () => {
    const text = 'a\u2028b\u2029c\u0085d';
    const tools = {
      odd: async ({ extra, server }: ToolCall) => {
        await say(extra, text);
        await announce(server, text);
        return text;
      },
    };
    const { client, url } = await startSession({ tools });
    const listener = await client.listen(url);
    const { sse } = await client.post(url, call(9, 'odd'));
    await sse.untilEnded();
    const events = [...sse.events, await listener.next()];
    expect(events).toHaveLength(3);
    for (const { data, message } of events) {
      expect(data).not.toMatch(/[\u0085\u2028\u2029]/);
      expect(JSON.stringify(message)).toContain(text);
    }
  });

  it('`keepAliveMs`: comments go on as long as the stream, on POST and GET; 0 means none', async () => {
    const go = signal();
    const tools = { wait: () => go.promise.then(() => 'done') };
    const { client, url } = await startSession({ keepAliveMs: 20, tools });
    const silent = await startSession({ keepAliveMs: 0, tools });
    const quiet = await silent.client.listen(silent.url);
    const listener = await client.listen(url);
    const { sse } = await client.post(url, call(9, 'wait'));
    await Promise.all([listener.comment(4), sse.comment(4)]);
    for (const { comments } of [listener, sse]) {
      expect(comments.slice(0, 4)).toEqual(['stream', 'keepalive', 'keepalive', 'keepalive']);
    }
    expect(quiet.comments).toEqual(['stream']);
    go.resolve();
    expect(await sse.untilEnded()).toBe('end');
  });

  it('`maxStreamAgeMs`: an old connection is ended with a `retry`, and the client misses nothing', async () => {
    const go = signal();
    const tools = {
      wait: async ({ extra }: ToolCall) => {
        await go.promise;
        await say(extra, 'late');
        return 'done';
      },
    };
    const { client, url } = await startSession({ maxStreamAgeMs: 60, retryMs: 500, tools });
    const { sse } = await client.post(url, call(9, 'wait'));
    const listener = await client.listen(url);
    expect(await sse.untilEnded()).toBe('end');
    expect(await listener.untilEnded()).toBe('end');
    for (const { retries } of [sse, listener]) {
      expect(retries).toHaveLength(1);
      expect(retries[0]).toBeGreaterThanOrEqual(450);
      expect(retries[0]).toBeLessThanOrEqual(550);
    }
    go.resolve();
    const resumed = await client.listen(url, { lastEventId: sse.lastEventId ?? '' });
    await resumed.untilEnded();
    expect(resumed.messages).toMatchObject([{ params: { data: 'late' } }, { id: 9, result: {} }]);
  });

  it('`maxStreamAgeMs`: a call of a client that has no cursor is left to finish', async () => {
    const go = signal();
    const tools = { wait: () => go.promise.then(() => 'done') };
    const node = await startNode({ maxStreamAgeMs: 30, keepAliveMs: 10, tools });
    const { client } = await openSession(node.url, { protocolVersion: '2025-06-18' });
    const { sse } = await client.post(node.url, call(9, 'wait'));
    // Ten keep-alives are far more than the greatest age.
    await sse.comment(10);
    expect(sse.endedBy).toBeUndefined();
    go.resolve();
    expect((await sse.next()).message).toMatchObject({ id: 9, result: {} });
  });

  it('a client that does not read costs a bounded buffer, and then gets everything', async () => {
    const big = 'x'.repeat(100_000);
    const tools = {
      flood: async ({ extra }: ToolCall) => {
        for (let at = 0; at < 100; at += 1) await say(extra, `${at} ${big}`);
        return 'done';
      },
    };
    const { client, url, mcp } = await startSession({ maxBufferedBytes: 200_000, tools });
    const { sse } = await client.post(url, call(9, 'flood'));
    sse.pause();
    // Another client of the node sees the call end: nothing waits for the slow one.
    while (mcp.health().inFlight > 0) await client.request(url, 'ping');
    sse.resume();
    await sse.untilEnded();
    const data = sse.messages.map(({ params }) => String(params?.['data']).split(' ')[0]);
    expect(data).toEqual([...Array.from({ length: 100 }, (_, at) => String(at)), 'undefined']);
  });
});
