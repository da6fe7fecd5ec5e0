/** `mcp-anynode/lambda`: events of AWS Lambda, as gateways and balancers make them. */
import { describe, expect, it, vi } from 'vitest';
import { lambdaHandler } from '../../src/lambda/index.js';
import type { LambdaEvent, LambdaOptions, LambdaResult } from '../../src/lambda/index.js';
import { request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import { openSession, startNode, STORES, type NodeOptions } from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const HEADERS = {
  host: 'mcp.example.com',
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};

/** The kinds of events, each made from a request as that kind has it. */
const EVENTS = {
  'an HTTP API': (method: string, headers: Record<string, string>, body?: string) => ({
    version: '2.0',
    rawPath: '/mcp',
    rawQueryString: '',
    headers,
    requestContext: { http: { method, path: '/mcp', sourceIp: '203.0.113.7' } },
    ...(body !== undefined && { body }),
    isBase64Encoded: false,
  }),
  'a function URL, in base64': (
    method: string,
    headers: Record<string, string>,
    body?: string,
  ) => ({
    version: '2.0',
    rawPath: '/',
    rawQueryString: 'a=%20b',
    headers,
    cookies: ['a=1', 'b=2'],
    requestContext: { http: { method, path: '/', sourceIp: '203.0.113.7' } },
    ...(body !== undefined && { body: Buffer.from(body).toString('base64') }),
    isBase64Encoded: true,
  }),
  'a REST API': (method: string, headers: Record<string, string>, body?: string) => ({
    httpMethod: method,
    path: '/mcp',
    headers,
    multiValueHeaders: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, [value]]),
    ),
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    requestContext: { identity: { sourceIp: '203.0.113.7' } },
    body: body ?? null,
    isBase64Encoded: false,
  }),
  'a balancer': (method: string, headers: Record<string, string>, body?: string) => ({
    httpMethod: method,
    path: '/mcp',
    headers: { ...headers, 'x-forwarded-for': '127.0.0.1, 203.0.113.7' },
    queryStringParameters: {},
    requestContext: { elb: { targetGroupArn: 'arn' } },
    body: body ?? '',
    isBase64Encoded: false,
  }),
};

type MakeEvent = (typeof EVENTS)[keyof typeof EVENTS];

/** A function on a node. `send` gives it a message, and returns the response. */
async function startFunction(
  make: MakeEvent = EVENTS['an HTTP API'],
  { lambda, ...options }: NodeOptions & { lambda?: LambdaOptions } = {},
) {
  const node = await startNode({ responseMode: 'json', ...options });
  const handler = lambdaHandler(node.mcp, lambda);
  const send = (method: string, message?: object, headers: Record<string, string> = {}) =>
    handler(make(method, { ...HEADERS, ...headers }, message && JSON.stringify(message)));
  return { ...node, handler, send };
}

const answerOf = ({ body }: LambdaResult) =>
  JSON.parse(body) as { result?: unknown; error?: { code: number; message: string } };
const sessionOf = ({ headers }: LambdaResult) => ({
  'mcp-session-id': headers['mcp-session-id'] ?? '',
});
const callOf = (name: string, args = {}) => request(7, 'tools/call', { name, arguments: args });

describe.each(STORES)('over %s', (_, openStore) => {
  it.each(Object.entries(EVENTS))('serves a session to events of %s', async (_name, make) => {
    const backplane = openStore();
    const functions = [
      await startFunction(make, { backplane: backplane() }),
      await startFunction(make, { backplane: backplane() }),
    ] as const;
    const opened = await functions[0].send('POST', INITIALIZE);
    expect(opened).toMatchObject({ statusCode: 200, isBase64Encoded: false });
    expect(opened.headers['content-type']).toContain('application/json');
    const session = sessionOf(opened);
    const told = await functions[1].send(
      'POST',
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      session,
    );
    expect(told).toMatchObject({ statusCode: 202, body: '' });
    for (const { send } of functions) {
      const { statusCode, body } = await send('POST', callOf('echo', { text: 'ä' }), session);
      expect(statusCode).toBe(200);
      expect(answerOf({ body } as LambdaResult).result).toEqual({
        content: [{ type: 'text', text: '{"text":"ä"}' }],
      });
    }
    expect((await functions[1].send('DELETE', undefined, session)).statusCode).toBe(200);
    expect((await functions[0].send('POST', callOf('echo'), session)).statusCode).toBe(404);
  });

  it('a session goes on between a function and an Express application', async () => {
    const backplane = openStore();
    const { send } = await startFunction(undefined, { backplane: backplane() });
    const inExpress = await startNode({ backplane: backplane() });
    const { client, sessionId } = await openSession(inExpress.url);
    const session = { 'mcp-session-id': sessionId };
    expect((await send('POST', callOf('echo', { n: 1 }), session)).statusCode).toBe(200);
    const { result } = await client.request(inExpress.url, 'tools/call', {
      name: 'echo',
      arguments: { n: 2 },
    });
    expect(result).toEqual({ content: [{ type: 'text', text: '{"n":2}' }] });
  });
});

it('answers a GET with 405, and goes on', async () => {
  const { send } = await startFunction();
  const session = sessionOf(await send('POST', INITIALIZE));
  const refused = await send('GET', undefined, session);
  expect(refused).toMatchObject({ statusCode: 405, headers: { allow: 'POST, DELETE' } });
  expect((await send('POST', callOf('echo'), session)).statusCode).toBe(200);
});

it('gives all events of a call at once with `responseMode: sse`', async () => {
  const tools = {
    speak: async ({
      extra,
    }: {
      extra: { sendNotification: (message: never) => Promise<void> };
    }) => {
      const params = { level: 'info', data: 'working' };
      await extra.sendNotification({ method: 'notifications/message', params } as never);
      return 'done';
    },
  };
  const { send } = await startFunction(undefined, { responseMode: 'sse', tools });
  const session = sessionOf(await send('POST', INITIALIZE));
  const { headers, body } = await send('POST', callOf('speak'), session);
  expect(headers['content-type']).toContain('text/event-stream');
  expect(body).toContain('"data":"working"');
  expect(body.indexOf('working')).toBeLessThan(body.indexOf('done'));
});

it('gives a call up before the time of the function is over, and serves the next one', async () => {
  const gate = newGate();
  const tools = { wait: async () => gate.opened.then(() => 'late') };
  const { handler, send } = await startFunction(undefined, { tools, lambda: { spareMs: 900 } });
  const session = sessionOf(await send('POST', INITIALIZE));
  const headers = { ...HEADERS, ...session };
  const event = EVENTS['an HTTP API']('POST', headers, JSON.stringify(callOf('wait')));
  const late = await handler(event, { getRemainingTimeInMillis: () => 1000 });
  expect(late.statusCode).toBe(504);
  expect(answerOf(late).error?.code).toBe(-32000);
  gate.open();
  expect((await send('POST', callOf('echo'), session)).statusCode).toBe(200);
});

it('tells `principal` who is calling, as the authorizer has found out', async () => {
  const authInfo = vi.fn((event: LambdaEvent) => {
    const { authorizer } = event.requestContext as { authorizer?: { sub: string } };
    return authorizer && { token: '', clientId: authorizer.sub, scopes: [] };
  });
  const { handler } = await startFunction(undefined, { lambda: { authInfo } });
  const post = (sub: string, message: object, headers = {}) => {
    const event = EVENTS['an HTTP API'](
      'POST',
      { ...HEADERS, ...headers },
      JSON.stringify(message),
    );
    return handler({ ...event, requestContext: { ...event.requestContext, authorizer: { sub } } });
  };
  const session = sessionOf(await post('alice', INITIALIZE));
  expect((await post('alice', callOf('echo'), session)).statusCode).toBe(200);
  expect((await post('bob', callOf('echo'), session)).statusCode).toBe(404);
});

it('refuses what is no request', async () => {
  const { handler, send } = await startFunction();
  await expect(handler({ Records: [] } as LambdaEvent)).rejects.toThrow(
    'not one of an HTTP request',
  );
  expect((await send('POST', INITIALIZE, { host: 'a b' })).statusCode).toBe(400);
  expect((await send('TRACE')).statusCode).toBe(400);
  expect(() => lambdaHandler({} as never)).toThrow('what `anynode()` has returned');
  expect(() => lambdaHandler({ fetch: vi.fn() } as never, { spareMs: -1 })).toThrow('spareMs');
});

it('gives each header in the form of the event, and none of the connection', async () => {
  const { send } = await startFunction(EVENTS['a REST API']);
  const { headers, multiValueHeaders = {} } = await send('POST', INITIALIZE);
  expect(multiValueHeaders['mcp-session-id']).toEqual([headers['mcp-session-id']]);
  expect(Object.keys(headers)).not.toContain('content-length');
  expect(Object.keys(headers)).not.toContain('connection');
});
