/** Intended differences from the SDK's own transport. Each test shows the SDK's answer, and ours. */
import { describe, expect, it } from 'vitest';
import { notification, request } from '../support/mcp-http.js';
import { announce, say } from './support/scripted-server.js';
import { signal } from './support/signal.js';
import { INITIALIZE, MODES, PARAMS, same, seen, send, sideBySide } from './support/side-by-side.js';

const [RESUMABLE, PLAIN, JSON_MODE] = MODES as [
  (typeof MODES)[number],
  (typeof MODES)[number],
  (typeof MODES)[number],
];
const GET = { method: 'GET' };
const call = (id: number, name: string) => request(id, 'tools/call', { name });

describe('a GET', () => {
  it('is answered with a first byte and a cursor at once, because a proxy would hold the headers back', async () => {
    const { sdk, ours } = await sideBySide(RESUMABLE);
    const [theirs, mine] = await Promise.all([send(sdk, GET), send(ours, GET)]);
    await mine.sse.priming();
    expect(mine.sse.comments).toEqual(['stream']);
    expect(theirs.sse.comments).toEqual([]);
    expect(theirs.sse.primings).toEqual([]);
    for (const name of ['content-type', 'cache-control', 'x-accel-buffering']) {
      expect(mine.headers[name]).toBe(theirs.headers[name]);
    }
    expect([theirs, mine].map(({ status }) => status)).toEqual([200, 200]);
    expect(mine.headers['mcp-session-id']).toBe(ours.session);
  });

  it('replaces an earlier one, so that a client whose connection died unnoticed is not locked out', async () => {
    const { sdk, ours } = await sideBySide(PLAIN);
    const firsts = await Promise.all([send(sdk, GET), send(ours, GET)]);
    const [theirs, mine] = await Promise.all([send(sdk, GET), send(ours, GET)]);
    expect([theirs.status, mine.status]).toEqual([409, 200]);
    expect(await firsts[1].sse.untilEnded()).toBe('end');
    expect(firsts[0].sse.endedBy).toBeUndefined();
  });

  it('gets what the SDK answers while another one is open, with `reject`', async () => {
    const both = await sideBySide(PLAIN, { standaloneStream: 'reject' });
    await Promise.all([send(both.sdk, GET), send(both.ours, GET)]);
    expect((await same(both, GET)).status).toBe(409);
  });

  it('gets the messages from before it', async () => {
    const tools = {
      announce: async ({ server }: { server: Parameters<typeof announce>[0] }) => {
        await announce(server, 'kept');
        return 'said';
      },
    };
    const { sdk, ours } = await sideBySide(PLAIN, { tools });
    for (const endpoint of [sdk, ours])
      await seen(await send(endpoint, { body: call(1, 'announce') }));
    const [theirs, mine] = await Promise.all([send(sdk, GET), send(ours, GET)]);
    expect((await mine.sse.next()).message?.params).toMatchObject({ data: 'kept' });
    expect(theirs.sse.events).toEqual([]);
  });

  it('for a stream that has ended is closed after its replay, or refused if there is none', async () => {
    const { sdk, ours } = await sideBySide(RESUMABLE);
    const resume = async (endpoint: typeof sdk, which: 'first' | 'last') => {
      const { sse } = await send(endpoint, { body: call(1, 'echo') });
      await sse.untilEnded();
      const cursor = which === 'first' ? sse.primings[0]?.id : sse.lastEventId;
      return send(endpoint, { ...GET, headers: { 'last-event-id': cursor } });
    };
    const theirs = [await resume(sdk, 'first'), await resume(sdk, 'last')];
    const [replayed, empty] = [await resume(ours, 'first'), await resume(ours, 'last')];
    expect(await replayed.sse.untilEnded()).toBe('end');
    expect(replayed.sse.messages).toMatchObject([{ id: 1, result: {} }]);
    expect(empty.status).toBe(204);
    await theirs[0]?.sse.next();
    expect(theirs.map(({ status, stream }) => [status, stream?.endedBy])).toEqual([
      [200, undefined],
      [200, undefined],
    ]);
  });
});

it('`Connection: close` of a client is answered with it, where the SDK says that the connection stays open', async () => {
  const { sdk, ours } = await sideBySide(PLAIN);
  for (const [connection, theirs, mine] of [
    ['close', 'keep-alive', 'close'],
    ['keep-alive', 'keep-alive', 'keep-alive'],
  ] as const) {
    const step = { body: call(1, 'echo'), headers: { connection } };
    const answers = [await send(sdk, step), await send(ours, step)];
    expect(answers.map(({ headers }) => headers.connection)).toEqual([theirs, mine]);
    for (const { sse } of answers) await sse.untilEnded();
  }
});

describe('a cancelled call', () => {
  it.each([RESUMABLE, PLAIN, JSON_MODE])('gets its response ended: %s', async (name, mode) => {
    const started = [signal(), signal()];
    let count = 0;
    const tools = {
      wait: () => {
        started[count++]?.resolve();
        return new Promise<string>(() => undefined);
      },
    };
    const { sdk, ours } = await sideBySide([name, mode], { tools });
    const calls = [sdk, ours].map((endpoint) => send(endpoint, { body: call(5, 'wait') }));
    await Promise.all(started.map(({ promise }) => promise));
    const cancel = { body: notification('notifications/cancelled', { requestId: 5 }) };
    for (const endpoint of [sdk, ours]) (await send(endpoint, cancel)).expect(202);
    const mine = await seen(await (calls[1] as Promise<never>));
    if (name === 'JSON') {
      const error = { code: -32000, message: 'Request cancelled' };
      expect(mine).toMatchObject({ status: 200, body: { jsonrpc: '2.0', id: 5, error } });
      const still = await Promise.race([calls[0], Promise.resolve('waiting')]);
      expect(still).toBe('waiting');
    } else {
      expect(mine.body).toMatchObject({ messages: [] });
      expect((await calls[0])?.sse.endedBy).toBeUndefined();
    }
  });
});

it('a message of a call goes to the GET stream in JSON mode, since its response cannot carry it', async () => {
  const tools = {
    speak: async ({ extra }: { extra: Parameters<typeof say>[0] }) => {
      await say(extra, 'midway');
      return 'done';
    },
  };
  const { sdk, ours } = await sideBySide(JSON_MODE, { tools });
  const [theirs, mine] = await Promise.all([send(sdk, GET), send(ours, GET)]);
  for (const endpoint of [sdk, ours])
    (await send(endpoint, { body: call(1, 'speak') })).expect(200);
  expect((await mine.sse.next()).message?.params).toMatchObject({ data: 'midway' });
  expect(theirs.sse.events).toEqual([]);
});

it('a request whose id is in use is refused, because the answers could not be told apart', async () => {
  const go = signal();
  const tools = { wait: () => go.promise.then(() => 'done') };
  const { sdk, ours } = await sideBySide(PLAIN, { tools });
  const firsts = [
    await send(sdk, { body: call(1, 'wait') }),
    await send(ours, { body: call(1, 'wait') }),
  ];
  const [theirs, mine] = [
    await send(sdk, { body: call(1, 'echo') }),
    await send(ours, { body: call(1, 'echo') }),
  ];
  expect(theirs.status).toBe(200);
  expect(await seen(mine)).toMatchObject({
    status: 400,
    body: {
      id: null,
      error: { code: -32600, message: expect.stringContaining('Request ID') as unknown },
    },
  });
  const twice = await send(ours, { body: [call(2, 'echo'), call(2, 'echo')] });
  expect(twice.status).toBe(400);
  go.resolve();
  expect(await firsts[1]?.answer(1)).toMatchObject({ result: { content: [{ text: 'done' }] } });
  // The id is free again after the answer.
  expect((await send(ours, { body: call(1, 'echo') })).status).toBe(200);
});

describe('initialize', () => {
  it('with the id of a session that does not exist gets 404, so that the client drops the id', async () => {
    const { ours } = await sideBySide(PLAIN);
    const step = { opens: true, body: INITIALIZE, headers: { 'mcp-session-id': 'gone' } };
    const answer = await seen(await send(ours, step));
    expect(answer).toMatchObject({ status: 404, body: { error: { code: -32001 } } });
  });

  it('as a notification creates no session, where the SDK creates one that no client knows', async () => {
    const { sdk, ours } = await sideBySide(PLAIN);
    const step = { opens: true, body: notification('initialize', PARAMS) };
    expect((await send(sdk, step)).status).toBe(202);
    expect(await seen(await send(ours, step))).toMatchObject({
      status: 400,
      body: { error: { message: 'Bad Request: Mcp-Session-Id header is required' } },
    });
  });
});
