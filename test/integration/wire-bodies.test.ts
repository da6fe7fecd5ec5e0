/** As `wire-equality.test.ts`, for the bodies of POSTs, whichever middleware has read them. */
import cors from 'cors';
import express from 'express';
import { beforeEach, describe, expect, it } from 'vitest';
import { notification, request, response } from '../support/mcp-http.js';
import type { SideBySide, Step } from './support/side-by-side.js';
import { INITIALIZE, MODES, PARAMS, same, sideBySide } from './support/side-by-side.js';

const PING = request(7, 'ping');
const batchOf = (count: number): object[] =>
  Array.from({ length: count }, (_, at) => request(at + 10, 'ping'));

const steps: [number, string, Step][] = [
  // These cases are about bodies.
  ...(
    [
      [400, 'nothing', ''],
      [400, 'half an object', '{"jsonrpc":"2.0"'],
      [400, 'words', 'hello'],
      [400, 'bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x7b])],
      [400, 'UTF-16', Buffer.from(JSON.stringify(PING), 'utf16le')],
      [200, 'a byte order mark', `\ufeff${JSON.stringify(PING)}`],
      [400, 'null', null],
      [400, 'a number', '1'],
      [400, 'a text', '"hello"'],
      [400, 'an object that is no message', {}],
      [400, 'another JSON-RPC', { ...PING, jsonrpc: '1.0' }],
      [400, 'a request whose id is null', { ...PING, id: null }],
      [400, 'a request whose id is a fraction', { ...PING, id: 1.5 }],
      [400, 'a request with a field of its own', { ...PING, more: 1 }],
      [400, 'a request whose params are a list', { ...PING, params: [1] }],
      [400, 'a result and an error', { jsonrpc: '2.0', id: 1, result: {}, error: {} }],
      [400, 'a field called __proto__', '{"jsonrpc":"2.0","id":1,"method":"ping","__proto__":{}}'],
      [400, 'a batch in a batch', [[PING]]],
      [400, 'a batch with one bad message', [PING, { jsonrpc: '2.0' }]],
      [400, 'a batch of 101', batchOf(101)],
      [400, 'a batch of 101 that are no messages', Array.from({ length: 101 }, () => 1)],
      [202, 'an empty batch', []],
      [202, 'a notification', notification('notifications/whatever')],
      [202, 'a batch of notifications', [notification('a'), notification('b')]],
      [202, 'a response that nobody waits for', response('nobody.1', {})],
      [202, 'an error without an id', { jsonrpc: '2.0', error: { code: -1, message: 'no' } }],
      [202, 'a batch of responses', [response(1, {}), response('x', {})]],
      [
        202,
        'a cancellation of nothing',
        notification('notifications/cancelled', { requestId: 99 }),
      ],
      [200, 'a request', PING],
      [200, 'a request with a text id', request('seven', 'ping')],
      [200, 'a request with id 0', request(0, 'ping')],
      [200, 'a request with an empty id', request('', 'ping')],
      [200, 'a request for an unknown method', request(8, 'no/such')],
      [200, 'a tool that is not there', request(8, 'tools/call', { name: 'none' })],
      [200, 'a tool call', request(8, 'tools/call', { name: 'echo', arguments: { a: 'ä\u2028' } })],
      [200, 'a request with bad params', request(8, 'tools/call', { name: 1 })],
      [200, 'a batch of one request', [PING]],
      [200, 'a batch of requests', [PING, request('b', 'tools/list'), request(9, 'no/such')]],
      [200, 'a batch of 100', batchOf(100)],
      [200, 'a mixed batch', [notification('a'), PING, response(1, {}), request(8, 'ping')]],
      [400, 'a second initialize', INITIALIZE],
      [400, 'a second initialize in a batch', [INITIALIZE, PING]],
      [400, 'initialize as a notification', notification('initialize', PARAMS)],
      [200, 'initialize with bad params', request(3, 'initialize', { a: 1 })],
    ] as [number, string, unknown][]
  ).map(([status, what, body]): [number, string, Step] => [
    status,
    `body: ${what}`,
    { body: body === null ? 'null' : body },
  ]),
];

describe.each(MODES)('%s', (...mode) => {
  it.each(steps)('%i: %s', async (status, _, step) => {
    expect((await same(await sideBySide(mode), step)).status).toBe(status);
  });

  it('answers 413 above the limit, with and without a length', async () => {
    const both = await sideBySide(mode, { maxBodyBytes: 2000 });
    const sized = (bytes: number): string => {
      const text = (filler: string): string => JSON.stringify({ ...PING, params: { filler } });
      return text('x'.repeat(bytes - text('').length));
    };
    expect((await same(both, { body: sized(2000) })).status).toBe(200);
    expect((await same(both, { body: sized(2001) })).status).toBe(413);
    expect((await same(both, { body: sized(1_000_000) })).status).toBe(413);
    const headers = { 'transfer-encoding': 'chunked' };
    expect((await same(both, { headers, body: sized(2000) })).status).toBe(200);
    expect((await same(both, { headers, body: sized(2001) })).status).toBe(413);
  });

  describe.each([
    ['express.json()', express.json()],
    ['express.text()', express.text({ type: '*/*' })],
    ['express.raw()', express.raw({ type: '*/*' })],
    ['cors()', cors({ exposedHeaders: ['mcp-session-id'] })],
  ])('behind %s', (name, before) => {
    let both: SideBySide;
    beforeEach(async () => {
      const mount = { before: [before] };
      // The SDK's transport takes a parsed body, or one that was not read before.
      const unread = name === 'express.text()' || name === 'express.raw()';
      both = await sideBySide(mode, {}, mount, unread ? {} : mount);
    });
    const behind: [number, string, Step][] = [
      [200, 'a request', { body: PING }],
      [200, 'a batch', { body: [PING, request(8, 'ping')] }],
      [202, 'a notification', { body: notification('a') }],
      [400, 'no message', { body: {} }],
      [400, 'half a body', { body: '{' }],
      [415, 'another content type', { body: 'a=1', headers: { 'content-type': 'text/plain' } }],
      [405, 'PUT', { method: 'PUT' }],
    ];
    it.each(behind)('%i: %s', async (status, _, step) => {
      expect((await same(both, step)).status).toBe(status);
    });
  });
});
