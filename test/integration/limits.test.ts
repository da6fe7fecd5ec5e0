/** A client that uses more than its share gets an answer that says so, and its session goes on. */
import express from 'express';
import { describe, expect, it } from 'vitest';
import type { JsonRpc, RawClient } from '../support/mcp-http.js';
import { notification, request } from '../support/mcp-http.js';
import { open, TestNode as MemberNode } from '../contract/suite/rig.js';
import { newGate, type Gate } from './support/gate.js';
import { openSession, rawClient, startNode, startSession, STORES } from './support/serve.js';

const invalid = (text: RegExp) => ({
  code: -32600,
  message: expect.stringMatching(text) as string,
});
const tooMany = (text: RegExp) => ({
  code: -32000,
  message: expect.stringMatching(text) as string,
});

const nested = (depth: number): unknown =>
  depth === 0 ? 'x' : depth % 2 === 0 ? [nested(depth - 1)] : { a: nested(depth - 1) };

async function refusalOf(client: RawClient, url: string, message: JsonRpc | JsonRpc[]) {
  const answer = await client.post(url, message);
  return { status: answer.status, error: answer.json().error };
}

/** A tool that does not answer before the gate opens. */
const waiting = (gate: Gate) => ({
  wait: async () => {
    await gate.opened;
    return 'done';
  },
});

describe.each([
  ['read here', undefined],
  ['read by express.json()', { before: [express.json({ limit: '4mb', strict: false })] }],
])('a body that is %s', (_, mount) => {
  const limits = { jsonDepth: 10, batchSize: 3, messageBytes: 1_000 };
  const start = () => startSession({ limits, ...(mount && { mount }) });

  it('may be nested up to the limit, and gets 400 above it', async () => {
    const { client, url, logged } = await start();
    // The message and its params are two levels of it.
    const call = (depth: number) => request(1, 'ping', { a: nested(depth) });
    (await client.post(url, call(8))).expect(200);
    expect(await refusalOf(client, url, call(9))).toEqual({
      status: 400,
      error: invalid(/nested deeper than 10$/),
    });
    const answer: JsonRpc = { jsonrpc: '2.0', id: 'x.1', result: { a: nested(9) } };
    expect((await client.post(url, answer)).status).toBe(400);
    expect(logged).toEqual([]);
  });

  it('may have messages up to the limit of bytes, and gets 413 above it', async () => {
    const { client, url } = await start();
    const call = (text: string) => request(1, 'ping', { a: text });
    (await client.post(url, call('x'.repeat(900)))).expect(200);
    // Bytes, not characters.
    const error = invalid(/exceed 1000 bytes$/);
    expect(await refusalOf(client, url, call('ä'.repeat(500)))).toEqual({ status: 400, error });
    // The limit counts for each message, not for the batch.
    const two = [call('x'.repeat(800)), request(2, 'ping', { a: 'x'.repeat(800) })];
    (await client.post(url, two)).expect(200);
  });

  it('may be a batch up to the limit, and gets 400 above it', async () => {
    const { client, url } = await start();
    const batch = (count: number) =>
      Array.from({ length: count }, () => notification('notifications/progress', {}));
    (await client.post(url, batch(3))).expect(202);
    expect(await refusalOf(client, url, batch(4))).toEqual({
      status: 400,
      error: invalid(/Batch must not exceed 3 messages$/),
    });
  });

  it('may have an id of up to 1,024 characters', async () => {
    const id = 'x'.repeat(1025);
    const roomy = await startSession({ ...(mount && { mount }) });
    (await roomy.client.post(roomy.url, request(id.slice(1), 'ping'))).expect(200);
    expect(await refusalOf(roomy.client, roomy.url, request(id, 'ping'))).toEqual({
      status: 400,
      error: invalid(/1024 characters$/),
    });
    const megabyte = request('x'.repeat(1_000_000), 'ping');
    expect((await roomy.client.post(roomy.url, megabyte)).status).toBe(400);
  });
});

it('is accepted within the defaults if the node sets no limits', async () => {
  const { client, url } = await startSession();
  (await client.post(url, request(1, 'ping', { a: nested(98) }))).expect(200);
  expect((await client.post(url, request(1, 'ping', { a: nested(99) }))).status).toBe(400);
});

describe.each(STORES)('running requests, over %s', (_, openStore) => {
  it('get 429 above the limit on every node, and are accepted again when one has ended', async () => {
    const store = openStore();
    const gate = newGate();
    const options = { tools: waiting(gate), limits: { requestsPerSession: 3 } };
    const a = await startNode({ backplane: store(), ...options });
    const b = await startNode({ backplane: store(), ...options });
    const { client } = await openSession(a.url);
    const call = () => request(client.nextId(), 'tools/call', { name: 'wait' });
    await client.post(a.url, call());
    const second = await client.post(b.url, [call(), call()]);
    for (const { url } of [a, b]) {
      const answer = await client.post(url, call());
      expect(answer.status).toBe(429);
      expect(answer.headers['retry-after']).toBe('1');
      expect(answer.json().error).toEqual(tooMany(/requests of this session/));
      // A notification runs nothing, so it does not count.
      (await client.post(url, notification('notifications/progress', {}))).expect(202);
    }
    // Another session has its own limit.
    const other = await openSession(a.url);
    (await other.client.post(b.url, request(1, 'ping'))).expect(200);

    gate.open();
    await second.sse.untilEnded();
    (await client.post(a.url, call())).expect(200);
    const many = Array.from({ length: 4 }, call);
    expect(await refusalOf(client, a.url, many)).toEqual({
      status: 400,
      error: invalid(/Batch must not exceed 3/),
    });
    expect([a.logged, b.logged]).toEqual([[], []]);
  });
});

// Bug: the clients of a dead node may have gone for good. Nothing would ever end their requests, and the session could
// run none.
it('of a dead node do not count', async () => {
  const backplane = STORES[0]?.[1]()();
  if (backplane === undefined) throw new Error('no store');
  const node = await startNode({ backplane, limits: { requestsPerSession: 2 } });
  const { client, sessionId } = await openSession(node.url);
  const dying = new MemberNode(backplane);
  await dying.run(
    sessionId,
    open('p', ['"a"', '"b"'], { principal: 'anonymous', messages: ['{}', '{}'] }),
  );
  (await client.post(node.url, request(1, 'ping'))).expect(429);
  await dying.backplane.leave();
  await expect
    .poll(async () => (await client.post(node.url, request(1, 'ping'))).status, { timeout: 10_000 })
    .toBe(200);
  (await client.post(node.url, [request(2, 'ping'), request(3, 'ping')])).expect(200);
});

describe('streams of a session on a node', () => {
  it('get 429 above the limit, and are accepted again when one is closed', async () => {
    const gate = newGate();
    const limits = { streamsPerSession: 3 };
    const { client, url, mcp } = await startSession({ tools: waiting(gate), limits });
    const streams = [await client.get(url)];
    for (const id of [1, 2]) {
      streams.push(await client.post(url, request(id, 'tools/call', { name: 'wait' })));
    }
    for (const answer of [await client.get(url), await client.post(url, request(3, 'ping'))]) {
      expect(answer.status).toBe(429);
      expect(answer.json().error).toEqual(tooMany(/streams of this session/));
    }
    expect(mcp.health().streams).toBe(3);
    const [first] = streams;
    first?.close();
    await expect.poll(async () => (await client.get(url)).status, { timeout: 10_000 }).toBe(200);
    gate.open();
  });

  // Only a session's own client can use up its limit. Strangers are told that there is no such session.
  it('of strangers do not count', async () => {
    const limits = { streamsPerSession: 1 };
    const { client, url, sessionId } = await startSession({
      limits,
      principal: (req) => req.headers['x-who'] as string | undefined,
    });
    const mallory = rawClient({ headers: { 'x-who': 'mallory' } });
    mallory.sessionId = sessionId;
    const slow = Array.from({ length: 20 }, () => mallory.get(url));
    (await client.post(url, request(1, 'ping'))).expect(200);
    expect(new Set((await Promise.all(slow)).map(({ status }) => status))).not.toContain(200);
  });
});

describe.each(STORES)('subscriptions, over %s', (_, openStore) => {
  it('above the limit get an error, and the others stay', async () => {
    const store = openStore();
    const limits = { subscriptionsPerSession: 2 };
    const a = await startNode({ backplane: store(), limits });
    const b = await startNode({ backplane: store(), limits });
    const { client, sessionId } = await openSession(a.url);
    const subscribe = (url: string, uri: string) =>
      client.request(url, 'resources/subscribe', { uri });
    for (const uri of ['r://1', 'r://2']) {
      expect(await subscribe(a.url, uri)).toMatchObject({ result: {} });
    }
    for (const { url } of [a, b]) {
      expect((await subscribe(url, 'r://3')).error).toEqual(tooMany(/A session may have 2$/));
      // A repeated subscription does not count again.
      expect(await subscribe(url, 'r://1')).toMatchObject({ result: {} });
    }
    expect((await a.mcp.sessions.get(sessionId))?.subscriptions.sort()).toEqual(['r://1', 'r://2']);
    await client.request(b.url, 'resources/unsubscribe', { uri: 'r://1' });
    expect(await subscribe(a.url, 'r://3')).toMatchObject({ result: {} });
    await client.request(b.url, 'resources/unsubscribe', { uri: 'r://2' });
    expect((await subscribe(a.url, `r://${'x'.repeat(8192)}`)).error).toEqual(
      invalid(/8192 characters$/),
    );
  });
});

describe.each(STORES)('the URIs of subscriptions, over %s', (_, openStore) => {
  // Bug: with a thousand URIs of 8 kB, Redis sent 8 MB for each read of the session's record.
  it('get an error above a number of bytes in all, and are accepted again when others have gone', async () => {
    const limits = { subscriptionBytesPerSession: 20 };
    const { url } = await startNode({ backplane: openStore()(), limits });
    const { client } = await openSession(url);
    const ask = (what: string, uri: string) => client.request(url, `resources/${what}`, { uri });
    expect(await ask('subscribe', 'r://a-dozen-1')).toMatchObject({ result: {} });
    expect((await ask('subscribe', 'r://ääää')).error).toEqual(
      tooMany(/may have 20 bytes in all$/),
    );
    expect(await ask('subscribe', 'r://abc')).toMatchObject({ result: {} });
    await ask('unsubscribe', 'r://a-dozen-1');
    expect(await ask('subscribe', 'r://ääää')).toMatchObject({ result: {} });
  });
});

describe.each(STORES)('sessions, over %s', (_, openStore) => {
  it('of one caller get 429 above the limit, and another caller has its own limit', async () => {
    const store = openStore();
    const options = {
      limits: { sessionsPerPrincipal: 2, anonymousSessions: 1 },
      principal: (req: { headers: Record<string, unknown> }) =>
        req.headers['x-who'] as string | undefined,
    };
    const a = await startNode({ backplane: store(), ...options });
    const b = await startNode({ backplane: store(), ...options });
    const as = (who: string | undefined) =>
      who === undefined ? {} : { headers: { 'x-who': who } };
    const [first] = [await openSession(a.url, as('alice')), await openSession(b.url, as('alice'))];
    for (const { url } of [a, b]) {
      await expect(openSession(url, as('alice'))).rejects.toMatchObject({
        status: 429,
        body: expect.stringContaining('Too many sessions') as string,
      });
    }
    await openSession(a.url, as('bob'));
    await openSession(b.url);
    await expect(openSession(a.url)).rejects.toMatchObject({ status: 429 });
    // For a second the caller is refused without a question to the backplane.
    (await first.client.delete(b.url)).expect(200);
    await expect
      .poll(
        () =>
          openSession(a.url, as('alice')).then(
            () => 'let in',
            () => 'refused',
          ),
        { timeout: 10_000 },
      )
      .toBe('let in');
    expect([a.logged, b.logged]).toEqual([[], []]);
  });

  it('that were never used get 429 above the limit, and no server is built for them', async () => {
    let built = 0;
    const { scriptedServer } = await import('./support/scripted-server.js');
    const { url, mcp, logged } = await startNode({
      backplane: openStore()(),
      limits: { anonymousPending: 5 },
      server: () => {
        built += 1;
        return scriptedServer();
      },
    });
    const begin = async (): Promise<number> => {
      const client = rawClient();
      const begun = client.initialize(url, { initialized: false });
      return begun.then(
        () => 200,
        (error: unknown) => (error as { status: number }).status,
      );
    };
    const statuses: number[] = [];
    const began = performance.now();
    for (let at = 0; at < 30; at += 1) statuses.push(await begin());
    expect(statuses).toEqual([...Array<number>(5).fill(200), ...Array<number>(25).fill(429)]);
    // These are the accepted ones, and about one each second that checks the limit again.
    const seconds = (performance.now() - began) / 1000;
    expect(built).toBeLessThan(10 + seconds);
    expect(mcp.health().sessions).toBe(5);
    expect(logged).toEqual([]);
  });
});
