/** Sessions, as other systems lose them. The comment of each test says where that was seen. */
import { expect, it } from 'vitest';
import { hasMethod, RawClient, request } from '../support/mcp-http.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { answers } from '../support/mcp-http.js';
import { callTool, clientOf, resultText, startTool, useCluster } from './support/cluster.js';

const cluster = useCluster();

// The official SDK: a transport that did not see `initialize` answers 400, and cannot be rebuilt.
it('a session from one node is served by the two others', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  expect(await callTool(client, b, 'echo', { text: 'on b' })).toBe('on b');
  expect(await callTool(client, c, 'echo', { text: 'on c' })).toBe('on c');
});

// mcp-use v1: a rebuilt server says "Client does not support form elicitation".
it("a node that never saw initialize knows the client's capabilities", async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { id, stream: sse } = await startTool(client, b, 'elicit');
  const { message } = await sse.next(hasMethod('elicitation/create'));
  await client.respond(c.url, message?.id ?? '', { action: 'accept', content: { name: 'Ada' } });
  expect(resultText((await sse.next(answers(id))).message)).toContain('Ada');
});

// mcp-db and tmcp admit a made-up id; platformatic/mcp answers 200 and makes a new session; example-remote-server
// answers 401, which sends clients into token refresh.
it('an unknown session id gets 404 on every node, for every method', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  client.sessionId = '11111111-2222-3333-4444-555555555555';
  for (const { url } of [a, b, c]) {
    const post = await client.post(url, request(1, 'tools/list'));
    expect(post.status).toBe(404);
    expect(post.json().error).toMatchObject({ code: -32001, message: 'Session not found' });
    expect(post.headers['mcp-session-id']).toBeUndefined();
    expect((await client.get(url)).status).toBe(404);
    expect((await client.delete(url)).status).toBe(404);
  }
});

// C# SDK, ContextForge: DELETE on a node without the session answers 200 and does nothing.
// mcp-use v1: a touch after DELETE makes the session again.
it('DELETE on any node ends the session and its streams on all nodes for good', async () => {
  const prefix = uniquePrefix();
  const [a, b, c] = await cluster.mount({ prefix });
  const client = await clientOf(a);
  const listener = await client.listen(b.url);
  const { stream: sse } = await startTool(client, a, 'count', { steps: 500, ms: 20 });
  await sse.next();
  expect((await client.delete(c.url)).status).toBe(200);
  await Promise.all([listener.untilEnded(), sse.untilEnded()]);
  await a.until('aborted');
  for (const { url } of [a, b, c]) {
    expect((await client.post(url, request(9, 'tools/list'))).status).toBe(404);
  }
  const redis = connectRedis();
  expect(await redis.keys(`${prefix}:{*`)).toEqual([]);
});

// mcp-use v1: two concurrent first requests both rebuild the session.
it('concurrent first requests on a node build one server', async () => {
  const [a, b] = await cluster.mount();
  const client = await clientOf(a);
  const calls = Array.from({ length: 8 }, (_, n) => callTool(client, b, 'echo', { text: `${n}` }));
  expect(await Promise.all(calls)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  expect(await b.call('built')).toHaveLength(1);
});

// mcp-db, java-sdk #471, python-sdk #2455: sessions are never removed, and nobody sends DELETE.
it('a session that is not used expires, and one that is used does not', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix, sessionTtlMs: 1500 });
  const [idle, used] = [await clientOf(a), await clientOf(a)];
  const begin = Date.now();
  while (Date.now() - begin < 2500) {
    expect(await callTool(used, b, 'echo', { text: 'here' })).toBe('here');
  }
  expect((await idle.post(b.url, request(9, 'tools/list'))).status).toBe(404);
  const redis = connectRedis();
  expect(await redis.keys(`${prefix}:{${String(idle.sessionId)}}*`)).toEqual([]);
});

// example-remote-server: five minutes without a client's message kill a session although its GET stream is open.
it('an open GET stream keeps its session alive', async () => {
  const [a, b, c] = await cluster.mount({ sessionTtlMs: 2500 });
  const client = await clientOf(a);
  const stream = await client.listen(b.url);
  const listening = new Promise((resolve) => setTimeout(resolve, 6000));
  await listening;
  expect(stream.endedBy).toBeUndefined();
  expect(await callTool(client, c, 'echo', { text: 'alive' })).toBe('alive');
});

// platformatic/mcp: without a token the stored authorization is used, so that the id alone is a credential.
it('a session does not exist for another principal, or for an anonymous caller', async () => {
  const [a, b] = await cluster.mount();
  const owner = await clientOf(a, { authorization: 'Bearer ada/token' });
  for (const headers of [{ authorization: 'Bearer eve/token' }, {}]) {
    const stranger = new RawClient({ headers: headers });
    stranger.sessionId = owner.sessionId;
    expect((await stranger.post(b.url, request(1, 'tools/list'))).status).toBe(404);
    expect((await stranger.get(b.url)).status).toBe(404);
    expect((await stranger.delete(b.url)).status).toBe(404);
    stranger.close();
  }
  expect(await callTool(owner, b, 'echo', { text: 'mine' })).toBe('mine');
});

// FrontMCP, toolhive #5306: bound to a hash of the raw token, every refresh kills the session.
it('a refreshed token keeps the session, and no token is stored', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix });
  const client = await clientOf(a, { authorization: 'Bearer ada/first-secret' });
  const headers = { authorization: 'Bearer ada/second-secret' };
  const params = { name: 'echo', arguments: { text: 'still' } };
  const answer = await client.request(b.url, 'tools/call', params, { headers });
  expect(resultText(answer)).toBe('still');
  const redis = connectRedis();
  for (const key of await redis.keys(`${prefix}*`)) {
    const dump = await redis.dumpBuffer(key);
    expect(dump.toString('latin1')).not.toContain('secret');
  }
});

// mcp-use v1, Go, rmcp, C#: log level and subscriptions are forgotten on the other node.
it('a log level and a subscription hold on every node from the next request on', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  await callTool(client, c, 'echo', { text: 'a replica on c, from before' });
  await client.request(a.url, 'logging/setLevel', { level: 'error' });
  await client.request(b.url, 'resources/subscribe', { uri: 'test://one' });
  for (const node of [a, b, c]) {
    expect(await callTool(client, node, 'subscriptions')).toBe('["test://one"]');
  }
  const stream = await client.listen(c.url);
  for (const node of [a, b, c]) {
    await callTool(client, node, 'log', { level: 'debug' });
    await callTool(client, node, 'log', { level: 'error' });
  }
  await stream.first(3);
  expect(stream.messages.map(({ params }) => params?.level)).toEqual(['error', 'error', 'error']);
  await client.request(c.url, 'resources/unsubscribe', { uri: 'test://one' });
  for (const node of [a, b]) expect(await callTool(client, node, 'subscriptions')).toBe('[]');
});
