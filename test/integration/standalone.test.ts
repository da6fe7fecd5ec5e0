/** The stream of the GET: who holds it, and that each message is shown once, whoever does. */
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
  it('what is said before there is a GET waits for it; what is said after is shown at once', async () => {
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

  it('what is said while the client is away is kept, also without a cursor', async () => {
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

  it('a newer GET ends the older, here and elsewhere, and each message is shown once', async () => {
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

  it('an older connection that is taken over is not told to come back', async () => {
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const first = await client.listen(url);
    await client.listen(url);
    await first.untilEnded();
    // A `retry` at the end would have it come back and throw its successor out, for ever in turn.
    expect(first.retries).toEqual([]);
  });

  it('`reject`: 409 while another connection holds it, on any node; free again when that is closed', async () => {
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
    // One that resumes may: the server can be the last to learn that its connection was cut.
    const resumed = await a.client.listen(b.url, { lastEventId: first.id ?? '' });
    expect(await listener.untilEnded()).toBe('end');
    resumed.close();
    await eventually(async () => (await a.client.get(a.url)).status === 200);
  });

  it("sessions do not hear each other's", async () => {
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
