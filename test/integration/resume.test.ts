import type { RequestHandler } from 'express';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { HttpError, request, type RawClient } from '../support/mcp-http.js';
import { announce, say, type ToolCall, type Tools } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { signal } from './support/signal.js';

const call = (id: number, name: string, args = {}) =>
  request(id, 'tools/call', { name, arguments: args });

/** Says a number of messages, waits for `go`, and says as many again. */
function talker(go: Promise<void>): Tools {
  return {
    talk: async ({ args, extra }: ToolCall) => {
      const count = Number(args.count ?? 2);
      for (let at = 0; at < count; at += 1) await say(extra, `a${at}`);
      await go;
      for (let at = 0; at < count; at += 1) await say(extra, `b${at}`);
      return 'done';
    },
    announce: async ({ args, server }: ToolCall) => {
      await announce(server, String(args.text));
      return 'said';
    },
  };
}

const texts = (messages: { params?: object; id?: unknown }[]): unknown[] =>
  messages.map(({ params, id }) => (params as { data?: string } | undefined)?.data ?? id);

async function refusal(client: RawClient, url: string, lastEventId: string): Promise<unknown> {
  const answer = await client.get(url, { lastEventId });
  return { status: answer.status, ...answer.json().error };
}

describe.each(STORES)('a client that resumes, over %s', (_, openStore) => {
  it.each(['the same node', 'another node'])(
    'to a running call on %s gets what it missed, and then what comes',
    async (where) => {
      const store = openStore();
      const go = signal();
      const a = await startSession({ backplane: store(), tools: talker(go.promise) });
      const b = await startNode({ backplane: store(), tools: talker(go.promise) });
      const { sse } = await a.client.post(a.url, call(9, 'talk'));
      const first = await sse.next();
      await sse.first(2);
      sse.close();
      const url = where === 'another node' ? b.url : a.url;
      const resumed = await a.client.listen(url, { lastEventId: first.id ?? '' });
      await resumed.first(1);
      go.resolve();
      expect(await resumed.untilEnded()).toBe('end');
      expect(texts(resumed.messages)).toEqual(['a1', 'b0', 'b1', 9]);
    },
  );

  it('to a call that has ended gets what came after each cursor, and the stream ends', async () => {
    const store = openStore();
    const tools = talker(Promise.resolve());
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const { sse } = await a.client.post(a.url, call(9, 'talk'));
    // The log has messages of another stream in between.
    await Promise.all([1, 2].map((id) => a.client.post(a.url, call(id, 'talk'))));
    await sse.untilEnded();
    const cursors = [...sse.primings, ...sse.events].map(({ id }) => id ?? '');
    const all = texts(sse.messages);
    for (const [at, lastEventId] of cursors.entries()) {
      const answer = await a.client.get(at % 2 === 0 ? b.url : a.url, { lastEventId });
      if (at === all.length) {
        expect(answer.status).toBe(204);
        continue;
      }
      expect(await answer.sse.untilEnded()).toBe('end');
      expect(texts(answer.sse.messages)).toEqual(all.slice(at));
    }
  });

  it('to the standalone stream gets what came after each cursor, and the stream stays open', async () => {
    const store = openStore();
    const tools = talker(Promise.resolve());
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const listener = await a.client.listen(a.url);
    const announce = (text: string) =>
      a.client.request(b.url, 'tools/call', { name: 'announce', arguments: { text } });
    for (const text of ['0', '1', '2']) await announce(text);
    const events = await listener.first(3);
    for (const [at, { id }] of events.entries()) {
      const url = at % 2 === 0 ? b.url : a.url;
      const resumed = await a.client.listen(url, { lastEventId: id ?? '' });
      await announce(`live ${at}`);
      await resumed.first(3);
      const lives = Array.from({ length: at + 1 }, (_, n) => `live ${n}`);
      expect(texts(resumed.messages)).toEqual(['0', '1', '2'].slice(at + 1).concat(lives));
    }
  });

  it('gets what it missed in one write for a page', async () => {
    const store = openStore();
    const tools = talker(Promise.resolve());
    const a = await startSession({ backplane: store(), tools });
    const written: string[] = [];
    const noteWrites: RequestHandler = (req, res, next) => {
      const write = res.write.bind(res);
      if (req.method === 'GET') {
        res.write = (text: string) => {
          written.push(text);
          return write(text);
        };
      }
      next();
    };
    const b = await startNode({ backplane: store(), tools, mount: { before: [noteWrites] } });
    const { sse } = await a.client.post(a.url, call(9, 'talk', { count: 50 }));
    await sse.untilEnded();
    const { sse: resumed } = await a.client.get(b.url, { lastEventId: sse.primings[0]?.id ?? '' });
    await resumed.untilEnded();
    expect(resumed.messages).toHaveLength(101);
    // The last message comes with the end of the response. The first write is the opening comment.
    expect(written.map((text) => text.split('event: message').length - 1)).toEqual([0]);
  });

  it('with a cursor older than the log gets 400, and never a replay with a gap', async () => {
    const backplane = openStore()();
    const tools = talker(Promise.resolve());
    const { client, url } = await startSession({
      backplane,
      tools,
      retention: { maxEvents: 5 },
    });
    const listener = await client.listen(url);
    const old = (await listener.priming()).id ?? '';
    listener.close();
    const { sse } = await client.post(url, call(8, 'talk'));
    await sse.untilEnded();
    for (let at = 0; at < 10; at += 1) {
      await client.request(url, 'tools/call', { name: 'announce', arguments: { text: `${at}` } });
    }
    const trimmed = {
      status: 400,
      code: -32000,
      message: 'Bad Request: Events after Last-Event-ID are no longer available',
    };
    expect(await refusal(client, url, old)).toEqual(trimmed);
    // Of a stream that ended long ago nothing is known any more.
    const gone = { ...trimmed, message: 'Invalid event ID format' };
    expect(await refusal(client, url, sse.lastEventId ?? '')).toEqual(gone);
    const again = await client.listen(url);
    expect((await again.next()).message?.params).toHaveProperty('data');
  });

  // Bug: a node answered 204, which says that the client has had everything, if the log was trimmed between two of its
  // reads.
  it('gets 400 if the log is trimmed while it resumes', async () => {
    const store = openStore()();
    let beforeRead: (() => Promise<unknown>) | undefined;
    const backplane: Backplane = {
      join(options) {
        const joined = store.join(options);
        const read = joined.read.bind(joined);
        joined.read = async (asked) => {
          const trim = beforeRead;
          beforeRead = undefined;
          await trim?.();
          return read(asked);
        };
        return joined;
      },
    };
    const tools = talker(Promise.resolve());
    const retention = { maxEvents: 20 };
    const { client, url } = await startSession({ backplane, tools, retention });
    const { sse } = await client.post(url, call(8, 'talk'));
    await sse.untilEnded();
    const lastEventId = sse.events[0]?.id ?? '';
    beforeRead = async () => {
      for (let at = 0; at < 20; at += 1) {
        await client.request(url, 'tools/call', { name: 'announce', arguments: { text: `${at}` } });
      }
    };
    expect(await refusal(client, url, lastEventId)).toMatchObject({ status: 400, code: -32000 });
  });

  it('with a cursor of another session or a forged one is refused, and sees no messages of strangers', async () => {
    const backplane = openStore()();
    const tools = talker(Promise.resolve());
    const { client, url, logged } = await startSession({ backplane, tools });
    const stranger = (await openSession(url)).client;
    const streams = await Promise.all([client, stranger].map((each) => each.listen(url)));
    for (const each of [client, stranger]) {
      const text = each === client ? 'mine' : 'secret';
      await each.request(url, 'tools/call', { name: 'announce', arguments: { text } });
    }
    const [mine = '', theirs = ''] = await Promise.all(
      streams.map(async (stream) => (await stream.next()).id),
    );
    const { sse } = await client.post(url, call(9, 'talk'));
    await sse.untilEnded();
    const own = [mine, sse.primings[0]?.id ?? '', sse.lastEventId ?? ''];
    expect(await refusal(client, url, theirs)).toMatchObject({ status: 400 });

    const part = fc.constantFrom(
      ...[...own, theirs].flatMap((cursor) => cursor.split('.')),
      ...['0', '1', 'zzzzzzzzzzz', '', '-1', 'g', '*', '..', 'NaN', '1e9', '{x}'],
    );
    const forged = fc.oneof(
      fc.array(part, { minLength: 5, maxLength: 5 }).map((parts) => parts.join('.')),
      fc
        .tuple(fc.constantFrom(...own), fc.nat({ max: 4 }), part)
        .map(([cursor, at, other]) => cursor.split('.').with(at, other).join('.')),
      fc.string({ maxLength: 60 }).map((text) => text.replace(/[^ -~]/g, '').trim()),
    );
    const property = fc.asyncProperty(forged, async (lastEventId) => {
      const answer = await client.get(url, { lastEventId });
      expect([200, 204, 400]).toContain(answer.status);
      if (answer.stream === undefined) return;
      const { stream } = answer;
      if (lastEventId.split('.')[1] !== 'g' && lastEventId !== '') await stream.untilEnded();
      else await stream.comment();
      expect(JSON.stringify(stream.messages)).not.toContain('secret');
      const streamsShown = new Set(stream.events.map(({ id }) => id?.split('.')[1]));
      expect(streamsShown.size).toBeLessThanOrEqual(1);
      stream.close();
    });
    await fc.assert(property, { numRuns: 150 });
    expect(logged).toEqual([]);
  });

  it('with a cursor ahead of the log gets what comes next', async () => {
    const backplane = openStore()();
    const { client, url } = await startSession({ backplane, tools: talker(Promise.resolve()) });
    const listener = await client.listen(url);
    const parts = ((await listener.priming()).id ?? '').split('.');
    const ahead = await client.listen(url, { lastEventId: parts.with(2, 'zzz').join('.') });
    await client.request(url, 'tools/call', { name: 'announce', arguments: { text: 'next' } });
    expect((await ahead.next()).message?.params).toMatchObject({ data: 'next' });
  });

  it('in a session that does not exist gets 404, whatever the cursor', async () => {
    const { client, url } = await startSession({ backplane: openStore()() });
    const { sse } = await client.post(url, call(9, 'echo'));
    await sse.untilEnded();
    (await client.delete(url)).expect(200);
    for (const lastEventId of [sse.lastEventId ?? '', 'nonsense']) {
      const failure = client.listen(url, { lastEventId });
      await expect(failure).rejects.toThrow(HttpError);
      await expect(failure).rejects.toMatchObject({ status: 404 });
    }
  });
});
