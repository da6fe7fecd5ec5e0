/** The stream of the GET: which connection holds it, and that each message is shown once. */
import { describe, expect, it } from 'vitest';
import type { SseReader } from '../support/mcp-http.js';
import { announce, type ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { eventually } from './support/signal.js';

const tools = {
  announce: async ({ args, server }: ToolCall) => {
    await announce(server, String(args.text));
    return 'said';
  },
};
const text = (text: unknown) => ({ name: 'announce', arguments: { text } });
const data = (stream: SseReader) => stream.messages.map(({ params }) => params?.data);

describe.each(STORES)('the standalone stream, over %s', (_, openStore) => {
  it('keeps messages from before the first GET, and shows later ones at once', async () => {
    const store = openStore();
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    for (const n of [1, 2]) await a.client.request(a.url, 'tools/call', text(n));
    const listener = await a.client.listen(b.url);
    await listener.first(2);
    for (const n of [3, 4]) await a.client.request(a.url, 'tools/call', text(n));
    await listener.first(4);
    expect(data(listener)).toEqual(['1', '2', '3', '4']);
  });

  it('keeps messages while the client is away, also without a cursor', async () => {
    const store = openStore();
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const listener = await a.client.listen(a.url);
    await a.client.request(a.url, 'tools/call', text('seen'));
    await listener.next();
    listener.close();
    await eventually(() => a.mcp.health().streams === 0);
    await a.client.request(b.url, 'tools/call', text('missed'));
    const again = await a.client.listen(b.url);
    await a.client.request(b.url, 'tools/call', text('live'));
    await again.first(2);
    expect(data(again)).toEqual(['missed', 'live']);
  });

  it('moves to a newer GET on any node, which ends the older one, and shows each message once', async () => {
    const store = openStore();
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const streams: SseReader[] = [];
    for (let round = 0; round < 6; round += 1) {
      const url = round % 3 === 0 ? a.url : b.url;
      const stream = await a.client.listen(url);
      streams.push(stream);
      await stream.comment();
      await a.client.request(round % 2 === 0 ? a.url : b.url, 'tools/call', text(round));
      if (round > 0) expect(await streams[round - 1]?.untilEnded()).toBe('end');
    }
    await eventually(() => streams.flatMap(data).length === 6);
    expect(streams.flatMap(data)).toEqual(['0', '1', '2', '3', '4', '5']);
  });

  it('lets a client that opens the stream too often wait, and shows a message on its last connection', async () => {
    const { client, url, mcp } = await startSession({ backplane: openStore()(), tools });
    const began = performance.now();
    const opened = await Promise.all(Array.from({ length: 15 }, () => client.listen(url)));
    expect(performance.now() - began).toBeGreaterThan(900);
    await eventually(() => mcp.health().streams === 1);
    await client.request(url, 'tools/call', text('said once'));
    await eventually(() => opened.flatMap(data).length === 1);
  });

  it('ends a replaced connection without telling it to come back', async () => {
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const first = await client.listen(url);
    await client.listen(url);
    await first.untilEnded();
    // With a `retry` at its end it would come back and replace its successor, in turn for ever.
    expect(first.retries).toEqual([]);
  });

  it('with `reject` answers 409 while another connection holds it, and accepts one when that is closed', async () => {
    const store = openStore();
    const options = { tools, standaloneStream: 'reject' as const };
    const a = await startSession({ backplane: store(), ...options });
    const b = await startNode({ backplane: store(), ...options });
    const listener = await a.client.listen(a.url);
    await a.client.request(b.url, 'tools/call', text(1));
    const first = await listener.next();
    for (const { url } of [a, b]) {
      const refused = await a.client.get(url);
      expect(refused.status).toBe(409);
      expect(refused.json().error).toMatchObject({
        code: -32000,
        message: 'Conflict: Only one SSE stream is allowed per session',
      });
    }
    // A client that resumes is accepted, because the server can be the last to notice that its connection was cut.
    const resumed = await a.client.listen(b.url, { lastEventId: first.id ?? '' });
    expect(await listener.untilEnded()).toBe('end');
    resumed.close();
    await eventually(async () => (await a.client.get(a.url)).status === 200);
  });

  it('shows messages of its own session only', async () => {
    const backplane = openStore()();
    const a = await startSession({ backplane, tools });
    const other = await openSession(a.url);
    const [mine, theirs] = [await a.client.listen(a.url), await other.client.listen(a.url)];
    await a.client.request(a.url, 'tools/call', text('mine'));
    await other.client.request(a.url, 'tools/call', text('theirs'));
    await Promise.all([mine.next(), theirs.next()]);
    expect([data(mine), data(theirs)]).toEqual([['mine'], ['theirs']]);
  });
});
