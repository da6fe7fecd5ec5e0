import type { EventStore as SdkStore } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { WebStandardStreamableHTTPServerTransport as V2Transport } from '@modelcontextprotocol/server';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BACKPLANES, open } from './stores.js';

const note = (at: number) => ({
  jsonrpc: '2.0' as const,
  method: 'notifications/x',
  params: { at },
});
const GET = '_GET_stream';

async function replayed(store: SdkStore, after: string) {
  const seen: { id: string; message: unknown }[] = [];
  const stream = await store.replayEventsAfter(after, {
    send: (id, message) => Promise.resolve(void seen.push({ id, message })),
  });
  return { stream, messages: seen.map(({ message }) => message), ids: seen.map(({ id }) => id) };
}

describe.each(BACKPLANES)('the event store (%s)', (_name, openStore) => {
  function two(more: Parameters<typeof open>[1] = {}) {
    const store = openStore();
    const [a, b] = [open(store(), more), open(store(), more)];
    return { a, b, on: (side: 'a' | 'b', session: string) => ({ a, b })[side].eventStore(session) };
  }

  it('replays what came after an event in its stream in order, on the other node, too', async () => {
    const { on } = two();
    const [a, b] = [on('a', 's') satisfies SdkStore, on('b', 's') satisfies SdkStore];
    const ids: string[] = [];
    for (let at = 0; at < 6; at += 1) {
      ids.push(await (at % 2 === 0 ? a : b).storeEvent(at === 3 ? 'other' : GET, note(at)));
    }
    expect(new Set(ids).size).toBe(6);
    const { stream, messages, ids: seen } = await replayed(b, ids[0] ?? '');
    expect(stream).toBe(GET);
    expect(messages).toEqual([1, 2, 4, 5].map(note));
    expect(seen).toEqual([ids[1], ids[2], ids[4], ids[5]]);
    expect(await b.getStreamIdForEventId(ids[3] ?? '')).toBe('other');
    // Nothing new is no error.
    expect(await replayed(a, ids[5] ?? '')).toMatchObject({ stream: GET, messages: [] });
  });

  it('does not replay events that only gave a client its first id', async () => {
    const { on } = two();
    const a = on('a', 's') satisfies SdkStore;
    const first = await a.storeEvent('post', {});
    await a.storeEvent('post', note(1));
    await a.storeEvent('post', {});
    await a.storeEvent('post', note(2));
    expect((await replayed(a, first)).messages).toEqual([1, 2].map(note));
  });

  it('rejects an id of another session and a malformed id', async () => {
    const { on } = two();
    const [one, two_] = [on('a', 'one') satisfies SdkStore, on('b', 'two') satisfies SdkStore];
    const foreign: string[] = [];
    for (let at = 0; at < 3; at += 1) {
      foreign.push(await one.storeEvent(GET, note(at)));
      await sleep(3);
      await two_.storeEvent(GET, note(100 + at));
    }
    const [first = ''] = foreign;
    const bad = [
      ...foreign,
      '',
      'x',
      `${first}x`,
      first.replace(/\.\d+\./, '.99.'),
      'x'.repeat(9000),
    ];
    for (const id of bad) {
      expect(await two_.getStreamIdForEventId(id)).toBeUndefined();
      await expect(replayed(two_, id)).rejects.toThrow('no such event');
    }
  });

  it('rejects an id whose successors are gone, and accepts one with nothing new', async () => {
    const { on } = two({ retention: { maxEvents: 5 } });
    const a = on('a', 's') satisfies SdkStore;
    const quiet = await a.storeEvent('quiet', note(0));
    const ids: string[] = [];
    for (let at = 0; at < 12; at += 1) ids.push(await a.storeEvent(GET, note(at)));
    expect(await a.getStreamIdForEventId(ids[0] ?? '')).toBeUndefined();
    await expect(replayed(a, ids[0] ?? '')).rejects.toThrow('not kept any more');
    expect((await replayed(a, ids[8] ?? '')).messages).toEqual([9, 10, 11].map(note));
    // Its own event is gone from the log, but nothing came after it.
    expect((await replayed(a, quiet)).messages).toEqual([]);
  });

  it('keeps no more bytes than its limit, but always the newest event', async () => {
    const maxBytes = 20_000;
    const { on } = two({ retention: { maxBytes } });
    const a = on('a', 's') satisfies SdkStore;
    const big = (at: number) => ({ ...note(at), params: { at, text: 'x'.repeat(1_000) } });
    const kept = async (ids: string[]): Promise<number> => {
      const found = await Promise.all(ids.map((id) => a.getStreamIdForEventId(id)));
      return found.filter((stream) => stream !== undefined).length;
    };
    const ids: string[] = [];
    const others: string[] = [];
    for (let at = 0; at < 60; at += 1) {
      ids.push(await on(at % 2 === 0 ? 'a' : 'b', 's').storeEvent(GET, big(at)));
      // Another session has bytes of its own.
      if (at < 5) others.push(await on('a', 'other').storeEvent(GET, big(at)));
    }
    // Each event counts for some 1,100 bytes, and a third more if encrypted. Up to an eighth more than needed is
    // trimmed at a time.
    const count = await kept(ids);
    expect(count).toBeLessThanOrEqual(Math.ceil(maxBytes / 1_150) + 1);
    expect(count).toBeGreaterThanOrEqual(Math.floor((maxBytes * 7) / 8 / 1_650));
    const { messages } = await replayed(a, ids.at(-count) ?? '');
    expect(messages).toEqual(Array.from({ length: count - 1 }, (_, at) => big(61 - count + at)));
    await expect(replayed(a, ids.at(-count - 1) ?? '')).rejects.toThrow('not kept any more');
    expect((await replayed(on('b', 'other'), others[0] ?? '')).messages).toHaveLength(4);

    const huge = { ...note(99), params: { text: 'y'.repeat(2 * maxBytes) } };
    await a.storeEvent(GET, huge);
    expect((await replayed(a, ids.at(-1) ?? '')).messages).toEqual([huge]);
    expect(await kept(ids.slice(0, -1))).toBe(0);
  });

  it('subtracts what it trims by age and number from its bytes', async () => {
    const { on } = two({ retention: { maxBytes: 5_000, maxEvents: 3, maxAgeMs: 1_000 } });
    const a = on('a', 's') satisfies SdkStore;
    const big = (at: number) => ({ ...note(at), params: { at, text: 'x'.repeat(1_000) } });
    for (let at = 0; at < 12; at += 1) await a.storeEvent(GET, big(at));
    await sleep(1_050);
    const first = await a.storeEvent(GET, big(20));
    for (let at = 21; at < 23; at += 1) await a.storeEvent(GET, big(at));
    expect((await replayed(a, first)).messages).toEqual([21, 22].map(big));
  });

  it('trims what is older than its retention', async () => {
    const { on } = two({ retention: { maxAgeMs: 300 } });
    const a = on('a', 's') satisfies SdkStore;
    const id = await a.storeEvent(GET, note(0));
    await sleep(450);
    expect(await a.getStreamIdForEventId(id)).toBeUndefined();
  });

  it('gives concurrent events ids of their own, and replays each once', async () => {
    const { on } = two();
    const first = await on('a', 's').storeEvent(GET, note(-1));
    await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        on(at % 2 === 0 ? 'a' : 'b', 's').storeEvent(GET, note(at)),
      ),
    );
    const { ids, messages } = await replayed(on('b', 's') satisfies SdkStore, first);
    expect(new Set(ids).size).toBe(100);
    expect(messages).toHaveLength(100);
  });

  it.each([
    ['v1', WebStandardStreamableHTTPServerTransport],
    ['v2', V2Transport],
  ])(
    "serves the SDK's transport (%s): a cursor of another session gets 400, and its own one resumes",
    async (line, Transport) => {
      const { on } = two();
      const connect = async (session: string) => {
        const transport = new Transport({
          sessionIdGenerator: () => session,
          eventStore: on('a', session),
        });
        const server = new McpServer({ name: line, version: '1' });
        await server.connect(transport);
        const send = (method: string, headers: Record<string, string>, body?: object) =>
          transport.handleRequest(
            new Request('http://localhost/mcp', {
              method,
              headers: {
                ...{
                  'content-type': 'application/json',
                  accept: 'application/json, text/event-stream',
                },
                ...headers,
              },
              ...(body !== undefined && { body: JSON.stringify(body) }),
            }),
          );
        const params = {
          ...{ protocolVersion: '2025-06-18', capabilities: {} },
          clientInfo: { name: 'c', version: '1' },
        };
        const answer = await send(
          'POST',
          {},
          { jsonrpc: '2.0', id: 1, method: 'initialize', params },
        );
        await answer.text();
        const resume = (cursor: string) =>
          send('GET', {
            ...{ 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' },
            'last-event-id': cursor,
          });
        return { transport, resume };
      };
      const [one, two_] = [await connect('one'), await connect('two')];
      const cursor = await on('a', 'one').storeEvent(GET, note(0));
      await one.transport.send(note(1));
      await two_.transport.send(note(100));
      expect((await two_.resume(cursor)).status).toBe(400);
      expect((await one.resume('nonsense')).status).toBe(400);
      const resumed = await one.resume(cursor);
      expect(resumed.status).toBe(200);
      const reader = (resumed.body as ReadableStream<Uint8Array>).getReader();
      const { value } = await reader.read();
      expect(new TextDecoder().decode(value)).toContain('"at":1');
      await reader.cancel();
      await one.transport.close();
      await two_.transport.close();
    },
  );
});
