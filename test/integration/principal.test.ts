/**
 * A session answers to the caller who has created it. For others it does not exist, because the session id alone is no
 * credential.
 */
import type { RequestHandler } from 'express';
import { describe, expect, it } from 'vitest';
import type { AuthInfo } from '../../src/index.js';
import { notification, request, response, type RawClient } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { announce, type ToolCall } from './support/scripted-server.js';
import { rawClient, startNode, STORES, type NodeOptions } from './support/serve.js';

/** Accepts every `Authorization: Bearer <subject>/<token>[/<client>[/<issuer>]]`. */
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

/** The same client with another token or none, in the same session. */
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

/** Does everything that a client can do with a session id, and returns the answers. */
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
    // A made-up id gets the same answers, so that they reveal nothing.
    const stranger = impostor(client, other);
    stranger.sessionId = 'made-up';
    expect(await everything(stranger, url)).toEqual(found);

    // The session has come to no harm, and its stream was not taken over.
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

it('`principal` decides who the caller is', async () => {
  const { url } = await start({ principal: (req) => req.get('x-tenant') });
  const client = rawClient({ headers: { 'x-tenant': 'one', ...as('alice/t') } });
  await client.initialize(url);
  const step = (tenant: string | undefined, bearer: string) =>
    client.post(url, request(1, 'ping'), { headers: { 'x-tenant': tenant, ...as(bearer) } });
  expect((await step('one', 'bob/u')).status).toBe(200);
  expect((await step('two', 'alice/t')).status).toBe(404);
  expect((await step(undefined, 'alice/t')).status).toBe(404);
});

it('a principal that looks like an anonymous or a stored one is another principal', async () => {
  const { url } = await start({ principal: (req) => req.get('x-who') });
  const opened: RawClient[] = [];
  for (const who of [undefined, '', 'anonymous', 'as:', 'as:anonymous']) {
    const client = rawClient({ headers: { 'x-who': who } });
    await client.initialize(url);
    opened.push(client);
  }
  // An empty header is sent as such, and names a caller.
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

/** What a middleware leaves on the request about its caller. */
type Left = Record<string, unknown>;

/** Starts a node whose callers have the given identities, chosen by a number in a header. */
async function callers(left: Left[], locals: Left[] = []) {
  const leave: RequestHandler = (req, res, next) => {
    const at = Number(req.headers['x-caller']);
    Object.assign(req, left[at]);
    Object.assign(res.locals, locals[at]);
    next();
  };
  const node = await startNode({ mount: { before: [leave] } });
  const clientOf = (at: number) => rawClient({ headers: { 'x-caller': `${at}` } });
  return { ...node, clientOf };
}

const jwt = (claims: Left) => ({ iss: 'https://issuer', iat: 1, exp: 2, ...claims });
const info = (more: Left) => ({ token: 't', scopes: [], ...more });

// Bug: all of them were one caller, because none has the fields of the SDK's `AuthInfo`.
it.each<[string, Left, Left, Left?, Left?]>([
  ['express-jwt', { auth: jwt({ sub: 'a' }) }, { auth: jwt({ sub: 'b' }) }],
  ['the issuer', { auth: jwt({ sub: 'a' }) }, { auth: jwt({ sub: 'a', iss: 'https://other' }) }],
  ['the client', { auth: jwt({ sub: 'a', azp: 'x' }) }, { auth: jwt({ sub: 'a', azp: 'y' }) }],
  ['only a client', { auth: jwt({ client_id: 'a' }) }, { auth: jwt({ client_id: 'b' }) }],
  [
    'only a client that is described',
    { auth: info({ clientId: 'a', extra: { client: { name: 'x' }, roles: ['y'], tid: 'z' } }) },
    { auth: info({ clientId: 'b', extra: { client: { name: 'x' }, roles: ['y'], tid: 'z' } }) },
  ],
  [
    'express-oauth2-jwt-bearer',
    { auth: { header: {}, payload: jwt({ sub: 'a' }), token: 't' } },
    { auth: { header: {}, payload: jwt({ sub: 'b' }), token: 't' } },
  ],
  [
    'AuthInfo whose user has another name',
    { auth: info({ clientId: 'app', extra: { userId: 'a' } }) },
    { auth: info({ clientId: 'app', extra: { userId: 'b' } }) },
  ],
  [
    'AuthInfo whose user is an object',
    { auth: info({ clientId: 'app', extra: { user: { id: 1 } } }) },
    { auth: info({ clientId: 'app', extra: { user: { id: 2 } } }) },
  ],
  [
    'AuthInfo that names the client only, beside a user',
    { auth: info({ clientId: 'app' }), user: { id: 1 } },
    { auth: info({ clientId: 'app' }), user: { id: 2 } },
  ],
  ['mcp-auth', { auth: info({ subject: 'a' }) }, { auth: info({ subject: 'b' }) }],
  ['Passport', { user: { id: 1, name: 'x' } }, { user: { id: 2, name: 'x' } }],
  ['a name alone', { user: 'a' }, { user: 'b' }],
  [
    'a name alone, and a client',
    { user: 'a', auth: { azp: 'x' } },
    { user: 'b', auth: { azp: 'x' } },
  ],
  ['two services', { user: { provider: 'x', id: '1' } }, { user: { provider: 'y', id: '1' } }],
  ['a number and its digits', { user: { id: 1 } }, { user: { id: '1' } }],
  ['a database of big numbers', { user: { id: 1n } }, { user: { id: 2n } }],
  [
    'MongoDB',
    { user: { _id: { toHexString: () => 'a', toString: () => 'a' } } },
    { user: { _id: { toHexString: () => 'b', toString: () => 'b' } } },
  ],
  // Bug: the text of the object was used, which is '[object Object]' for all of them.
  [
    'an id in hexadecimal that has no text of its own',
    { user: { _id: { toHexString: () => 'a' } } },
    { user: { _id: { toHexString: () => 'b' } } },
  ],
  // Bug: both callers were taken for their client application.
  [
    'AuthInfo with the claims of the token under a name',
    { auth: info({ clientId: 'app', extra: { claims: { sub: 'a' } } }) },
    { auth: info({ clientId: 'app', extra: { claims: { sub: 'b' } } }) },
  ],
  // Bug: only names in exactly one spelling were read, and a name in the SDK's `extra` counted before the id in the token.
  [
    'a user name in another spelling',
    { auth: jwt({ client_id: 'app', user_name: 'a' }) },
    { auth: jwt({ client_id: 'app', user_name: 'b' }) },
  ],
  ['SAML', { user: { nameID: 'a', email: 'x' } }, { user: { nameID: 'b', email: 'x' } }],
  [
    'AuthInfo with the same name and other ids',
    { auth: info({ clientId: 'app', extra: { email: 'x' }, payload: { sub: 'a' } }) },
    { auth: info({ clientId: 'app', extra: { email: 'x' }, payload: { sub: 'b' } }) },
  ],
  ['basic auth', { auth: { user: 'a', password: 'p' } }, { auth: { user: 'b', password: 'p' } }],
  ['openid-connect', { oidc: { user: { sub: 'a' } } }, { oidc: { user: { sub: 'b' } } }],
  [
    'keycloak-connect',
    { kauth: { grant: { access_token: { content: { sub: 'a' } } } } },
    { kauth: { grant: { access_token: { content: { sub: 'b' } } } } },
  ],
  [
    'express-oauth-server',
    {},
    {},
    { oauth: { token: { id: 1, client: { id: 'app' }, user: { id: 1 } } } },
    { oauth: { token: { id: 1, client: { id: 'app' }, user: { id: 2 } } } },
  ],
  ['the place', { auth: { sub: 'a' } }, { user: { sub: 'a' } }],
  [
    'a text that looks like two',
    { auth: { sub: 'a', iss: 'b"' } },
    { auth: { sub: '"a', iss: 'b' } },
  ],
  ['somebody and nobody', { user: { id: 'anonymous' } }, { user: undefined }],
])(
  'callers with different identities are different principals: %s',
  async (_, one, other, ...locals) => {
    const { url, clientOf, logged } = await callers([one, other], locals as Left[]);
    for (const at of [0, 1]) {
      const client = clientOf(at);
      await client.initialize(url);
      // The same identity again is the same caller.
      expect((await client.post(url, request(7, 'ping'))).status).toBe(200);
      const thief = clientOf(1 - at);
      thief.sessionId = client.sessionId;
      thief.protocolVersion = client.protocolVersion;
      expect((await thief.post(url, request(8, 'ping'))).status).toBe(404);
      expect((await thief.get(url)).status).toBe(404);
      expect((await thief.delete(url)).status).toBe(404);
    }
    expect(logged).toEqual([]);
  },
);

it.each<[string, Left]>([
  ['a payload without a name', { auth: { admin: true, jti: 'S3CRET' } }],
  ['a text, which may be a token', { auth: 'S3CRET' }],
  ['a function', { auth: () => ({ userId: 'S3CRET' }) }],
  ['a user without an id', { user: { roles: ['S3CRET'] } }],
  ['a user without an id, and a client', { user: { roles: ['S3CRET'] }, auth: { azp: 'app' } }],
  // Bug: these three were taken for their client application, like all other users of it.
  ['a subject of no known form, and a client', { auth: { sub: ['S3CRET'], azp: 'app' } }],
  ['an empty subject, and a client', { auth: { sub: '', azp: 'app', jti: 'S3CRET' } }],
  [
    'a user of no known form in AuthInfo',
    { auth: info({ clientId: 'app', extra: { user: { key: 'S3CRET' } } }) },
  ],
  // Bug: these were taken for their client application as well, because the name of no field was known.
  [
    'a field with a URL in front',
    { auth: jwt({ azp: 'app', 'https://shop.example/email': 'S3CRET' }) },
  ],
  ['a name of its own', { auth: info({ clientId: 'app', extra: { accountName: 'S3CRET' } }) }],
  [
    'claims under a name of their own',
    { auth: info({ clientId: 'app', extra: { decoded: { sub: 'S3CRET' } } }) },
  ],
  ['an empty name', { user: { id: '', secret: 'S3CRET' } }],
])('an identity that cannot be read is refused, and logged once: %s', async (_, left) => {
  const { url, clientOf, logged } = await callers([left]);
  const opened = clientOf(1);
  await opened.initialize(url); // nobody
  const client = clientOf(0);
  client.sessionId = opened.sessionId;
  client.protocolVersion = opened.protocolVersion;
  for (const answer of [
    await client.post(url, request(1, 'ping')),
    await client.get(url),
    await client.delete(url),
  ]) {
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({
      id: null,
      error: { code: -32000, message: expect.stringContaining('`principal`') as unknown },
    });
  }
  expect(logged).toEqual([expect.stringContaining('give the option `principal')]);
  expect(logged.join()).not.toContain('S3CRET');
});

describe('the token of a caller', () => {
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

  it('is not stored in memory', async () => {
    expect(await use({})).not.toContain(secret);
  });

  it('is in no key and in no value in Redis', async () => {
    const prefix = uniquePrefix();
    expect(await use({ redis: redisUrl(), prefix })).not.toContain(secret);
    const redis = connectRedis();
    const keys = await redis.keys(`${prefix}*`);
    expect(keys.length).toBeGreaterThan(3);
    const dumps = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
    const values = await Promise.all(keys.map((key) => contents(redis, key)));
    expect([...keys, ...dumps.map(String), ...values].join('\n')).not.toContain(secret);
    // The twin: a stored text is found in this way.
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
