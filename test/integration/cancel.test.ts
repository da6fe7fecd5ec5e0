import { describe, expect, it } from 'vitest';
import { notification, request, type RequestId } from '../support/mcp-http.js';
import { say, type ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { signal } from './support/signal.js';

const call = (id: RequestId, name: string) => request(id, 'tools/call', { name });
const cancel = (requestId: RequestId) => notification('notifications/cancelled', { requestId });

/** A tool that reports when it runs and when it is aborted. It ends when the test says so. */
function waiting() {
  const [started, aborted, go] = [signal(), signal<unknown>(), signal()];
  const wait = async ({ extra }: ToolCall): Promise<string> => {
    extra.signal.addEventListener('abort', () => aborted.resolve(extra.signal.reason));
    await say(extra, 'started');
    started.resolve();
    await go.promise;
    return `ended, ${extra.signal.aborted ? 'aborted' : 'not aborted'}`;
  };
  return { tools: { wait }, started, aborted, go };
}

describe.each(STORES)('a cancellation, over %s', (_, openStore) => {
  // The SDK's v1 line takes the ids 0 and '' for none, and its own client begins with 0.
  it.each<RequestId>([5, 0, '', 'five'])(
    'of call %j on another node aborts its handler, and the stream ends without a response',
    async (id) => {
      const store = openStore();
      const { tools, aborted, go } = waiting();
      const a = await startSession({ backplane: store(), tools });
      const b = await startNode({ backplane: store(), tools });
      const { sse } = await a.client.post(a.url, call(id, 'wait'));
      await sse.next();
      (await a.client.post(b.url, cancel(id))).expect(202);
      await aborted.promise;
      expect(await sse.untilEnded()).toBe('end');
      go.resolve();
      // The late answer of the handler is dropped, and the id is free.
      const again = await a.client.post(a.url, call(id, 'echo'));
      expect(await again.answer(id)).toMatchObject({ result: { content: [{ text: '{}' }] } });
      expect(sse.messages).toMatchObject([{ params: { data: 'started' } }]);
      const resumed = await a.client.get(b.url, { lastEventId: sse.lastEventId ?? '' });
      expect(resumed.status).toBe(204);
    },
  );

  it.each<RequestId>([5, 0])(
    'of call %j in JSON mode is answered with a JSON-RPC error',
    async (id) => {
      const { tools, started, aborted } = waiting();
      const options = { backplane: openStore()(), tools, responseMode: 'json' as const };
      const { client, url } = await startSession(options);
      const answer = client.post(url, call(id, 'wait'));
      await started.promise;
      (await client.post(url, cancel(id))).expect(202);
      await aborted.promise;
      expect((await answer).expect(200).json()).toEqual({
        jsonrpc: '2.0',
        id,
        error: { code: -32000, message: 'Request cancelled' },
      });
    },
  );

  it('of one call of a batch leaves the others running, and the stream ends with them', async () => {
    const { tools, started } = waiting();
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const { sse } = await client.post(url, [call(1, 'wait'), call(2, 'echo')]);
    await started.promise;
    (await client.post(url, cancel(1))).expect(202);
    await sse.untilEnded();
    const answers = sse.messages.filter(({ method }) => method === undefined);
    expect(answers).toMatchObject([{ id: 2, result: {} }]);
  });

  it('of a request id reaches the call of its own session only', async () => {
    const { tools, started, go } = waiting();
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const { client: other } = await openSession(url);
    const { sse } = await client.post(url, call(5, 'wait'));
    await started.promise;
    (await other.post(url, cancel(5))).expect(202);
    await other.request(url, 'ping');
    go.resolve();
    await sse.untilEnded();
    expect(sse.messages.at(-1)).toMatchObject({
      id: 5,
      result: { content: [{ text: 'ended, not aborted' }] },
    });
  });

  it('of the number 5 does not reach the call with the text "5"', async () => {
    const { tools, started, go } = waiting();
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const { sse } = await client.post(url, call(5, 'wait'));
    await started.promise;
    (await client.post(url, cancel('5'))).expect(202);
    await client.request(url, 'ping');
    go.resolve();
    await sse.untilEnded();
    expect(sse.messages.at(-1)).toMatchObject({
      result: { content: [{ text: 'ended, not aborted' }] },
    });
  });
});

describe.each(STORES)('a client that disconnects, over %s', (_, openStore) => {
  it('does not cancel its call in SSE mode, and finds the result when it resumes', async () => {
    const { tools, started, go } = waiting();
    const { client, url } = await startSession({ backplane: openStore()(), tools });
    const { sse } = await client.post(url, call(5, 'wait'));
    await started.promise;
    await sse.next();
    sse.close();
    await client.request(url, 'ping');
    go.resolve();
    const resumed = await client.listen(url, { lastEventId: sse.lastEventId ?? '' });
    expect((await resumed.next()).message).toMatchObject({
      id: 5,
      result: { content: [{ text: 'ended, not aborted' }] },
    });
  });

  it('does not cancel its call in JSON mode, and its id is free when the call ends', async () => {
    const { tools, started, go } = waiting();
    const options = { backplane: openStore()(), tools, responseMode: 'json' as const };
    const { client, url, mcp } = await startSession(options);
    const abort = new AbortController();
    const lost = client.post(url, call(5, 'wait'), { signal: abort.signal });
    await started.promise;
    abort.abort();
    await expect(lost).rejects.toThrow();
    expect((await client.post(url, call(5, 'echo'))).status).toBe(400);
    expect(mcp.health().inFlight).toBe(1);
    go.resolve();
    while (mcp.health().inFlight > 0) await client.request(url, 'ping');
    expect((await client.post(url, call(5, 'echo'))).status).toBe(200);
  });
});
