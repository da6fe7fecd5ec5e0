/** What handlers see of the HTTP request. */
import type { RequestHandler } from 'express';
import { expect, it } from 'vitest';
import type { ToolCall } from '../integration/support/scripted-server.js';
import { mounted, listen, startSession } from '../integration/support/serve.js';

/** Takes away what nobody behind it is to see, and puts in what it knows. */
const front: RequestHandler = (req, _res, next) => {
  req.headers.authorization = undefined;
  (req.headers as Record<string, unknown>)['x-role'] = ['reader', 'writer'];
  next();
};

// Headers were handed on as they stood there: a handler saw `undefined`, or a list, where it is promised a text.
it('handlers see headers as texts, whatever middleware in front has made of them', async () => {
  let seen: ToolCall['extra']['requestInfo'];
  const look = ({ extra }: ToolCall): string => {
    seen = extra.requestInfo;
    return 'done';
  };
  const mount = { before: [front] };
  const { url, client } = await startSession({ mount, tools: { look } });
  const headers = { authorization: 'Bearer secret' };
  await client.request(url, 'tools/call', { name: 'look', arguments: {} }, { headers });
  expect(Object.keys(seen?.headers ?? {})).not.toContain('authorization');
  expect(seen?.headers).toMatchObject({ 'x-role': 'reader, writer' });
  // As with the SDK's own transport, which has it all in fields.
  const logged = JSON.parse(JSON.stringify(seen)) as unknown;
  expect(logged).toMatchObject({ headers: { 'x-role': 'reader, writer' }, url });
});

// Node refuses to send such a header, so that no call reached the server behind.
it('a request reaches the server behind, although middleware in front has removed headers', async () => {
  const roles: unknown[] = [];
  const behind = await startSession();
  const proxy: RequestHandler = (req, _res, next) => {
    roles.push([req.headers.authorization, req.headers['x-role']]);
    next();
  };
  const upstream = await listen(mounted(behind.mcp, { before: [proxy] }));
  const mount = { before: [front] };
  const { url, client } = await startSession({ mount, upstream, server: undefined });
  const headers = { authorization: 'Bearer secret' };
  const answer = client.request(url, 'tools/call', { name: 'echo', arguments: {} }, { headers });
  expect(await answer).toMatchObject({ result: {} });
  expect(roles.at(-1)).toEqual([undefined, 'reader, writer']);
});
