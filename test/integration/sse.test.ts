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
  it('sends the first byte and the cursor before the handler says anything', async () => {
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

  it('sends no event without data to clients before 2025-11-25, which fail on one', async () => {
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
    // These clients can resume after a message has given them a cursor.
    expect(sse.lastEventId).toBeDefined();
  });

  it('gives each event of a session an id of its own, whatever the stream', async () => {
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
  it('`primingEvents: false` sends priming events to no client', async () => {
    const { client, url } = await startSession({ primingEvents: false });
    const { sse } = await client.post(url, call(9, 'echo'));
    await sse.untilEnded();
    const listener = await client.listen(url);
    await listener.comment();
    expect([...sse.primings, ...listener.primings]).toEqual([]);
  });

  // Some clients take a line that is not id, event, data or comment for an error, and did not connect at all.
  it('`retryMs` is sent when a connection is ended on purpose, and not before', async () => {
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

  // A reader that splits the text at blank lines took the comment for an event, and waited for the rest of it.
  it('the first event comes in one piece with the opening comment', async () => {
    const { url, sessionId } = await startSession();
    const body = JSON.stringify(call(9, 'echo'));
    const posted = await fetch(url, { method: 'POST', headers: headersOf(sessionId), body });
    const [first, second] = (await posted.text()).split('\n\n');
    expect(first).toMatch(/^: stream\nid: \S+\ndata: $/);
    expect(second).toMatch(/^event: message\nid: \S+\ndata: \{/);
  });

  it('a client that resumes is not sent its own event id again', async () => {
    const { client, url } = await startSession();
    const listener = await client.listen(url);
    const { id = '' } = await listener.priming();
    const again = await client.listen(url, { lastEventId: id });
    await again.comment();
    await client.request(url, 'ping');
    expect(again.primings).toEqual([]);
    // The twin: a client without an event id gets one.
    expect((await (await client.listen(url)).priming()).id).toBe(id);
  });

  it('a client that names no version speaks 2025-03-26, with POST and with GET', async () => {
    const { client, url } = await startSession();
    const headers = { 'mcp-protocol-version': undefined };
    const { sse } = await client.post(url, call(9, 'echo'), { headers });
    await sse.untilEnded();
    const listener = await client.listen(url, { headers });
    await listener.comment();
    await client.request(url, 'ping');
    expect([...sse.primings, ...listener.primings]).toEqual([]);
  });

  // JSON and server-sent events allow these characters in strings, but some readers split lines there.
  it('no data line has a line separator of Unicode in it', async () => {
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

  it('`keepAliveMs` sends comments as long as a POST or GET stream is open, and 0 sends none', async () => {
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

  it('`maxStreamAgeMs` ends an old connection with a `retry`, and the client misses nothing', async () => {
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

  it('`maxStreamAgeMs` does not end the call of a client without a cursor', async () => {
    const go = signal();
    const tools = { wait: () => go.promise.then(() => 'done') };
    const node = await startNode({ maxStreamAgeMs: 30, keepAliveMs: 10, tools });
    const { client } = await openSession(node.url, { protocolVersion: '2025-06-18' });
    const { sse } = await client.post(node.url, call(9, 'wait'));
    // Ten keep-alives take much longer than the greatest age.
    await sse.comment(10);
    expect(sse.endedBy).toBeUndefined();
    go.resolve();
    expect((await sse.next()).message).toMatchObject({ id: 9, result: {} });
  });

  it('a client that does not read costs a limited buffer, and gets everything later', async () => {
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
    // Another client of the node sees its call end, because nothing waits for the slow one.
    while (mcp.health().inFlight > 0) await client.request(url, 'ping');
    sse.resume();
    await sse.untilEnded();
    const data = sse.messages.map(({ params }) => String(params?.['data']).split(' ')[0]);
    expect(data).toEqual([...Array.from({ length: 100 }, (_, at) => String(at)), 'undefined']);
  });
});
