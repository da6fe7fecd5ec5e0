/** A session answers to whoever created it; to others it does not exist. The session id alone is no credential. */
import type { RequestHandler } from 'express';
import { describe, expect, it } from 'vitest';
import type { AuthInfo } from '../../src/index.js';
import { notification, request, response, type RawClient } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { announce, type ToolCall } from './support/scripted-server.js';
import { rawClient, startNode, STORES, type NodeOptions } from './support/serve.js';

/** Takes `Authorization: Bearer <subject>/<token>[/<client>[/<issuer>]]` for valid. */
const authenticate: RequestHandler = (req, _res, next) => {
  const bearer = req.headers.authorization?.replace('Bearer ', '');
  if (bearer !== undefined) {
    const [sub = '', token = '', clientId = 'app', iss = 'https://issuer.example'] =
      bearer.split('/');
    const auth: AuthInfo = { token, clientId, scopes: [], extra: { sub, iss } };
    Object.assign(req, { auth });
  }
  next();
};

const tools = {
  whoami: ({ extra }: ToolCall) => JSON.stringify(extra.authInfo ?? null),
  announce: async ({ server }: ToolCall) => {
    await announce(server, 'private');
    return 'said';
  },
};

function start(options: NodeOptions = {}) {
  return startNode({ tools, mount: { before: [authenticate] }, ...options });
}

/** The client with another token, or none, in the same session. */
function impostor(client: RawClient, bearer: string | undefined): RawClient {
  const other = rawClient(bearer === undefined ? {} : { headers: as(bearer) });
  other.sessionId = client.sessionId;
  other.protocolVersion = client.protocolVersion;
  return other;
}

const as = (bearer: string) => ({ authorization: `Bearer ${bearer}` });

async function open(url: string, bearer: string | undefined): Promise<RawClient> {
  const client = rawClient(bearer === undefined ? {} : { headers: as(bearer) });
  await client.initialize(url);
  return client;
}

/** Everything that a client can do with a session id. */
async function everything(client: RawClient, url: string): Promise<[number, unknown][]> {
  const cursor = { lastEventId: 'AAAAAAAA.g.0.0.0' };
  const initialize = request(1, 'initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  });
  const answers = [
    await client.post(url, request(50, 'tools/call', { name: 'whoami' })),
    await client.post(url, [request(51, 'ping'), request(52, 'ping')]),
    await client.post(url, notification('notifications/cancelled', { requestId: 1 })),
    await client.post(url, notification('notifications/initialized')),
    await client.post(url, notification('notifications/roots/list_changed')),
    await client.post(url, response('x', {})),
    await client.post(url, []),
    await client.post(url, initialize),
    await client.get(url),
    await client.get(url, cursor),
    await client.delete(url),
  ];
  return answers.map(({ status, body }) => [status, JSON.parse(body)]);
}

const NOT_FOUND = {
  jsonrpc: '2.0',
  id: null,
  error: { code: -32001, message: 'Session not found' },
};

describe.each(STORES)('over %s', (_, openStore) => {
  it.each<[string | undefined, string, string | undefined]>([
    ['alice/t1', 'another subject', 'mallory/t1'],
    ['alice/t1', 'another client', 'alice/t1/other'],
    ['alice/t1', 'another issuer', 'alice/t1/app/https:'],
    ['alice/t1', 'nobody', undefined],
    [undefined, 'somebody', 'alice/t1'],
  ])('a session of %s does not exist for %s', async (owner, _who, other) => {
    const { url } = await start({ backplane: openStore()() });
    const client = await open(url, owner);
    const listener = await client.listen(url);
    await listener.priming();

    const found = await everything(impostor(client, other), url);
    expect(found).toEqual(found.map(() => [404, NOT_FOUND]));
    // And it tells nobody anything that a made-up id would not.
    const stranger = impostor(client, other);
    stranger.sessionId = 'made-up';
    expect(await everything(stranger, url)).toEqual(found);

    // The session has come to no harm, and its stream was not taken.
    await client.request(url, 'tools/call', { name: 'announce' });
    expect((await listener.next()).message?.params).toMatchObject({ data: 'private' });
    expect(listener.endedBy).toBeUndefined();
    (await client.delete(url)).expect(200);
  });

  it('a refreshed token keeps the session, and the handler sees the new one', async () => {
    const { url } = await start({ backplane: openStore()() });
    const client = await open(url, 'alice/old');
    const refreshed = impostor(client, 'alice/new');
    const answer = await refreshed.request(url, 'tools/call', { name: 'whoami' });
    expect(answer.result).toMatchObject({
      content: [{ text: expect.stringContaining('"new"') as unknown }],
    });
    (await refreshed.get(url)).expect(200);
    (await refreshed.delete(url)).expect(200);
  });
});

it('`principal` decides who is who, instead', async () => {
  const { url } = await start({ principal: (req) => req.get('x-tenant') });
  const client = rawClient({ headers: { 'x-tenant': 'one', ...as('alice/t') } });
  await client.initialize(url);
  const step = (tenant: string | undefined, bearer: string) =>
    client.post(url, request(1, 'ping'), { headers: { 'x-tenant': tenant, ...as(bearer) } });
  expect((await step('one', 'bob/u')).status).toBe(200);
  expect((await step('two', 'alice/t')).status).toBe(404);
  expect((await step(undefined, 'alice/t')).status).toBe(404);
});

it('a principal that looks like nobody, or like a stored one, is not taken for it', async () => {
  const { url } = await start({ principal: (req) => req.get('x-who') });
  const opened: RawClient[] = [];
  for (const who of [undefined, '', 'anonymous', 'as:', 'as:anonymous']) {
    const client = rawClient({ headers: { 'x-who': who } });
    await client.initialize(url);
    opened.push(client);
  }
  // An empty header is sent as such, and is somebody.
  for (const client of opened) {
    for (const other of opened) {
      const thief = impostor(other, undefined);
      thief.sessionId = client.sessionId;
      const who = ['', 'anonymous', 'as:', 'as:anonymous'][opened.indexOf(other) - 1];
      const answer = await thief.post(url, request(1, 'ping'), { headers: { 'x-who': who } });
      expect(answer.status).toBe(client === other ? 200 : 404);
    }
  }
});

describe('the token is in no store', () => {
  const secret = 'S3CRET-token-bytes';

  async function use(options: NodeOptions): Promise<string> {
    const { url, mcp, logged } = await start(options);
    const client = await open(url, `alice/${secret}`);
    await client.request(url, 'tools/call', { name: 'announce' });
    await client.notify(url, 'notifications/progress', { progressToken: 1, progress: 1 });
    await (await client.listen(url)).next();
    const info = await mcp.sessions.get(client.sessionId ?? '');
    const events = [];
    for await (const event of mcp.sessions.events(client.sessionId ?? '')) events.push(event);
    expect(events.length).toBeGreaterThan(4);
    return JSON.stringify([info, events, logged]);
  }

  it('memory', async () => {
    expect(await use({})).not.toContain(secret);
  });

  it('Redis: no key and no value contains it', async () => {
    const prefix = uniquePrefix();
    expect(await use({ redis: redisUrl(), prefix })).not.toContain(secret);
    const redis = connectRedis();
    const keys = await redis.keys(`${prefix}*`);
    expect(keys.length).toBeGreaterThan(3);
    const dumps = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
    const values = await Promise.all(keys.map((key) => contents(redis, key)));
    expect([...keys, ...dumps.map(String), ...values].join('\n')).not.toContain(secret);
    // The twin: what is stored would have been found.
    expect(values.join('\n')).toContain('private');
  });
});

async function contents(redis: ReturnType<typeof connectRedis>, key: string): Promise<string> {
  switch (await redis.type(key)) {
    case 'hash':
      return JSON.stringify(await redis.hgetall(key));
    case 'stream':
      return JSON.stringify(await redis.xrange(key, '-', '+'));
    case 'zset':
      return JSON.stringify(await redis.zrange(key, '0', '-1'));
    case 'set':
      return JSON.stringify(await redis.smembers(key));
    default:
      return (await redis.get(key)) ?? '';
  }
}
